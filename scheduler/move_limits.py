"""How long a move may take before somebody is told. An alarm: no move is ever killed. Pure."""

from __future__ import annotations

from scheduler.book import Book
from scheduler.limits import Limits
from scheduler.rollout import Step

TOLD_AFTER = 5.0
"""Times the expected time: xl copies the memory of a busy guest up to five times over."""

MARGIN_S = 120.0
"""Beside that: connecting, scripts of disks and networks, a suspend that the guest takes late."""

MEASURED_MOVES = 3
"""Fewer tell too little; then the limit of every attempt counts."""


LAST_COPY = 0.1
"""Of the time that its memory takes, for what a suspended guest has left to copy. Rounds that
shrink leave far less; more is a guest that writes as fast as it is sent, or something stuck."""


def alarm_s(room_mib: int, book: Book, limits: Limits) -> float:
    """From the guest's memory and the rate that this rollout's moves really had."""
    rates = book.rates_mib_s
    if len(rates) < MEASURED_MOVES:
        return limits.attempt_alarm_s
    return MARGIN_S + TOLD_AFTER * room_mib / rates[len(rates) // 2]


def suspended_limit_s(step: Step, book: Book, limits: Limits) -> float:
    """How long its guest may stand still, from the same; by the plan while little is measured."""
    rates = book.rates_mib_s
    copy_s = step.planned_end_s - step.planned_start_s
    if len(rates) >= MEASURED_MOVES:
        copy_s = step.room_mib / rates[len(rates) // 2]
    return limits.suspended_alarm_s + LAST_COPY * copy_s
