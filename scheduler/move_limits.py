"""How long a move may take before somebody is told. An alarm: no move is ever killed. Pure."""

from __future__ import annotations

from statistics import median

from agents.wire import Kind
from scheduler.book import Book
from scheduler.limits import Limits
from scheduler.rollout import Step, StepState

TOLD_AFTER = 5.0
"""Times the expected time: xl copies the memory of a busy guest up to five times over."""

MARGIN_S = 120.0
"""Beside that: connecting, scripts of disks and networks, a suspend that the guest takes late."""

MEASURED_MOVES = 3
"""Fewer tell too little; then the limit of every attempt counts."""


def alarm_s(room_mib: int, book: Book, limits: Limits) -> float:
    """From the guest's memory and the rate that this rollout's moves really had."""
    rates = [rate for step in book.steps.values() if (rate := _rate_mib_s(step)) is not None]
    if len(rates) < MEASURED_MOVES:
        return limits.attempt_alarm_s
    return MARGIN_S + TOLD_AFTER * room_mib / median(rates)


def _rate_mib_s(step: Step) -> float | None:
    """Memory over the time from start to settled end of a move that succeeded."""
    if step.kind is not Kind.MOVE or step.state is not StepState.DONE or step.outcome != "moved":
        return None
    if step.started_at is None or step.ended_at is None or not step.room_mib:
        return None
    took_s = (step.ended_at - step.started_at).total_seconds()
    return step.room_mib / took_s if took_s > 0 else None
