"""A guest that arrived with less of the CPUs than it had gets it back, beside the rollout.

Such a step hangs on its move, which is over: nothing waits for it but the guest's own next step and
the rollout's end, and where it fails, that is told and nothing else.
"""

from __future__ import annotations

from agents.verdict import Retune
from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.rollout import Step


def begin(draft: Draft, move: Step, retune: Retune) -> None:
    """Add the step that gives a guest back what it had."""
    name = f"{move.id}-t{move.attempt}"
    facts = {"guest": move.guest, "domid": retune.domid, "tuning": retune.tuning}
    step = move.child(name, Kind.RETUNE, retune.host, reason=retune.why, **facts)
    draft.add_step(step)
    draft.say("retune", retune.why, step)


def awaited(draft: Draft, step: Step) -> bool:
    """Whether a guest would leave before it has back what it had, and so lose it for good."""
    steps = (draft.book.steps[name] for name in draft.book.retuning)
    return step.kind in (Kind.MOVE, Kind.STOP) and any(s.guest == step.guest for s in steps)
