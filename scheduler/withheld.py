"""Which waiting steps a pause, a wave that is not open, or a host that is left out keeps back.

Pure, and cheap: asked for every step that could start, in every round.
"""

from __future__ import annotations

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.retuning import awaited
from scheduler.rollout import Step
from scheduler.waves import WaveState

BRINGS_BACK = frozenset({Kind.START, Kind.MEND, Kind.RETUNE})


def withheld(draft: Draft, step: Step) -> bool:
    """Whether this step may not start now, whatever the gates on its hosts say."""
    wave = draft.wave(step.wave)
    hosts = [draft.host(name) for name in step.hosts if name in draft.book.hosts]
    if (wave is not None and wave.paused) or any(host.paused for host in hosts):
        return True
    if awaited(draft, step):
        return True
    if step.kind in BRINGS_BACK:
        return False
    if any(host.left_out for host in hosts):
        return True
    return wave is not None and wave.state in (WaveState.WAITING, WaveState.ABORTED)
