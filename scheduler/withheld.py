"""Which waiting steps a pause, a wave that is not open, a hook, or a host left out keeps back.

Pure, and cheap: asked for every step that could start, in every round.
"""

from __future__ import annotations

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.hooking import DRAINS, held_by_hook
from scheduler.retuning import awaited
from scheduler.rollout import HostRecord, HostState, RolloutState, Step
from scheduler.waves import WaveRecord, WaveState

BRINGS_BACK = frozenset({Kind.START, Kind.MEND, Kind.RETUNE})


def withheld(draft: Draft, step: Step) -> bool:
    """Whether this step may not start now, whatever the gates on its hosts say.

    A hook that has to be asked first is asked for.
    """
    return kept_back(draft, step) or awaited(draft, step) or held_by_hook(draft, step)


def kept_back(draft: Draft, step: Step) -> bool:
    """The same without hooks: whether a person, its wave or an abort keeps it back."""
    if step.kind in BRINGS_BACK and draft.rollout.state is RolloutState.ABORTING:
        return False  # whoever aborts says so after every pause: no guest is left as it is
    wave = draft.wave(step.wave)
    hosts = [draft.host(name) for name in step.hosts if name in draft.book.hosts]
    if (wave is not None and wave.paused) or any(host.paused for host in hosts):
        return True
    if step.kind in BRINGS_BACK:
        return False
    return _left_behind(hosts) or _wave_waits(draft, step, wave)


def _left_behind(hosts: list[HostRecord]) -> bool:
    return any(host.left_out or host.stopped for host in hosts)


def _wave_waits(draft: Draft, step: Step, wave: WaveRecord | None) -> bool:
    if wave is None:
        return False
    if wave.state in (WaveState.WAITING, WaveState.ABORTED):
        return True
    return bool(wave.holds) and step.kind in DRAINS and _begins(draft, step, wave)


def _begins(draft: Draft, step: Step, wave: WaveRecord) -> bool:
    """Whether it begins to drain a host, or makes room while no host of its wave is drained yet."""
    host = draft.host(step.host)
    if host.wave == step.wave:
        return host.state is HostState.WAITING
    return not any(draft.host(name).state is HostState.DRAINING for name in wave.hosts)
