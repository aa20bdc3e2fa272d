"""When a rollout will have ended, as a forecast that was written down with it."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.frozen import Frozen

TOO_OLD = timedelta(minutes=15)
"""A controller makes a forecast about twice a minute: one of this age tells nothing any more."""


class Assumed(Frozen):
    """Something that waits for somebody; a forecast takes it to go on at once."""

    what: str  # `rollout`, `wave 2`, `hosts h1, h2`
    waits_for: str  # approval, resume, release, alerts, report, plan, hooks
    text: str  # in words, with what is assumed


class Outlook(Frozen):
    """The newest forecast in short (`scheduler.forecast`): when the last step will have ended."""

    made_at: datetime
    p50_at: datetime  # in half of the runs by then
    p90_at: datetime  # in nine of ten
    deadline: datetime | None = None
    late_hosts: int = 0  # whose own p90 is past the deadline
    late: bool = False  # p90 is past the deadline, or was and is still close to it
    assuming: tuple[Assumed, ...] = ()

    def fresh(self, now: datetime) -> bool:
        """Whether it still tells anything."""
        return now - self.made_at < TOO_OLD

    def left_s(self, now: datetime) -> tuple[float, float]:
        """Seconds left, p50 and p90."""
        p50_s, p90_s = ((at - now).total_seconds() for at in (self.p50_at, self.p90_at))
        return max(0.0, p50_s), max(0.0, p90_s)
