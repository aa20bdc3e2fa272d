"""How fast a rollout goes against its plan, and how steadily. Pure.

The plan's clock stands where the plan would have ended as many steps as have really ended; the pace
is real seconds for each second of that clock, as in `scheduler.progress.left_s`.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.book import Book
from scheduler.progress import left_s
from scheduler.rollout import ENDED, StepState

PARTS = 10
"""What has ended is cut into so many parts; how much their paces differ gives the p90."""


@dataclass(frozen=True)
class Pace:
    """Where the plan's clock stands, and how fast it went."""

    reached_s: float
    real_per_planned: float
    of_parts: tuple[float, ...]


def pace(book: Book, now: datetime) -> Pace | None:
    """The pace of the newest plan; None before anything has ended."""
    newest = [s for s in book.steps.values() if s.generation == book.rollout.generation]
    ended = sorted(s.ended_at for s in newest if s.state is StepState.DONE and s.ended_at)
    began = min((step.ordered_at for step in newest if step.ordered_at), default=None)
    if not ended or began is None:
        return None
    real_s = [0.0, *((at - began).total_seconds() for at in ended)]
    planned_s = [0.0, *sorted(step.planned_end_s for step in newest)[: len(ended)]]
    if planned_s[-1] <= 0:
        return None
    whole = (now - began).total_seconds() / planned_s[-1]
    return Pace(planned_s[-1], whole, _of_parts(real_s, planned_s))


def _of_parts(real_s: Sequence[float], planned_s: Sequence[float]) -> tuple[float, ...]:
    last = len(real_s) - 1
    size = max(1, -(-last // PARTS))
    cuts = [*range(0, last, size), last]
    pairs = itertools.pairwise(cuts)
    return tuple(
        (real_s[b] - real_s[a]) / (planned_s[b] - planned_s[a])
        for a, b in pairs
        if planned_s[b] > planned_s[a] and real_s[b] >= real_s[a]
    )


def forecast(book: Book, now: datetime) -> tuple[float | None, float | None]:
    """Seconds left, p50 and p90; None while nothing can be told.

    By the controller's newest forecast. Without one p50 is `progress.left_s`, and for p90 it is
    stretched by how much slower than the mean of all parts the slowest tenth of them was.
    """
    seen = book.rollout.outlook
    if seen is not None and book.rollout.state not in ENDED and seen.fresh(now):
        return seen.left_s(now)
    p50_s = left_s(book, now)
    if not p50_s:
        return p50_s, p50_s
    measured = pace(book, now)
    parts = measured.of_parts if measured else ()
    mean = statistics.fmean(parts) if parts else 0.0
    if len(parts) < 2 or mean <= 0:
        return p50_s, None
    slow = statistics.quantiles(parts, n=10, method="inclusive")[-1]
    return p50_s, p50_s * max(1.0, slow / mean)


def pace_to_come(book: Book, now: datetime) -> Pace:
    """Where the plan's clock stands, and how fast it goes on: it ends when the forecast does."""
    measured = pace(book, now) or Pace(0.0, 1.0, ())
    newest = [s for s in book.steps.values() if s.generation == book.rollout.generation]
    ahead_s = max((step.planned_end_s for step in newest), default=0.0) - measured.reached_s
    left_s, _ = forecast(book, now)
    if left_s is None or ahead_s <= 0:
        return measured
    return replace(measured, real_per_planned=left_s / ahead_s)
