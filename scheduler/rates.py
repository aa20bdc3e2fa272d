"""How fast a rollout's moves really were. Pure."""

from __future__ import annotations

from agents.wire import Kind
from scheduler.rollout import Step, StepState


def rate_mib_s(step: Step) -> float | None:
    """Memory over the time from start to settled end of a move that succeeded."""
    if step.kind is not Kind.MOVE or step.state is not StepState.DONE or step.outcome != "moved":
        return None
    if step.started_at is None or step.ended_at is None or not step.room_mib:
        return None
    took_s = (step.ended_at - step.started_at).total_seconds()
    return step.room_mib / took_s if took_s > 0 else None
