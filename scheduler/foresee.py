"""Forecasts as part of a rollout: made every so often, kept in its head, told when they are bad."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from scheduler.book import Book
from scheduler.draft import Draft
from scheduler.limits import Limits
from scheduler.rollout import ENDED, Outlook

EVERY_S = 30.0
COST_FACTOR = 20.0
"""A forecast is made again no sooner than after so many times what the last one took."""
RUNS = 100
MARGIN = 0.05
"""A deadline that was at risk counts as safe again when so much of the time left is to spare."""


def foresee(draft: Draft, seen: Outlook) -> None:
    """Keep a forecast, and say so when the deadline comes into danger or is safe again."""
    before = draft.rollout.outlook
    was_late = before is not None and before.late
    if seen.deadline is None:
        draft.put_rollout(outlook=seen)
        return
    spare = (seen.p90_at - seen.made_at) * MARGIN if was_late else timedelta(0)
    late = seen.p90_at > seen.deadline - spare
    draft.put_rollout(outlook=seen.model_copy(update={"late": late}))
    ends = f"nine in ten runs of the forecast end by {seen.p90_at:%Y-%m-%d %H:%M} UTC"
    bound = f"the deadline, {seen.deadline:%Y-%m-%d %H:%M} UTC"
    if late and not was_late:
        missed = f"{seen.late_hosts} hosts are likely to miss it"
        draft.say("late", f"{ends}, after {bound}: {missed}{_assuming(seen)}")
    elif was_late and not late:
        draft.say("in_time", f"{ends}, before {bound}{_assuming(seen)}")


def _assuming(seen: Outlook) -> str:
    """A deadline that is at risk even so is told with what has to happen for that."""
    return "".join(f"; {one.text}" for one in seen.assuming)


class Foresight:
    """Makes the forecasts of a controller, each rollout's when it is due."""

    def __init__(self, monotonic: Callable[[], float], limits: Limits) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._next_s: dict[str, float] = {}

    def outlook(self, book: Book, now: datetime) -> Outlook | None:
        """The rollout's forecast, where it is time for a new one."""
        # Whoever only reads a rollout does not pay for loading numpy.
        from scheduler.forecast import Asked, outlook

        name, began_s = book.rollout.id, self._monotonic()
        kept = book.rollout.outlook
        if kept is not None and now - kept.made_at < timedelta(seconds=EVERY_S):
            return None  # of a controller before us, perhaps
        if book.rollout.state in ENDED or began_s < self._next_s.get(name, began_s):
            return None
        limits = self._limits
        asked = Asked(runs=RUNS, backoff_s=limits.retry_backoff_s, max_tries=limits.max_tries)
        seen = outlook(book, now, asked)
        ended_s = self._monotonic()
        self._next_s[name] = ended_s + max(EVERY_S, COST_FACTOR * (ended_s - began_s))
        return seen
