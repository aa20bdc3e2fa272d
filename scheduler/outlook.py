"""When a rollout will have ended, as a forecast that was written down with it."""

from __future__ import annotations

from datetime import datetime

from scheduler.frozen import Frozen


class Outlook(Frozen):
    """The newest forecast in short (`scheduler.forecast`): when the last step will have ended."""

    made_at: datetime
    p50_at: datetime  # in half of the runs by then
    p90_at: datetime  # in nine of ten
    deadline: datetime | None = None
    late_hosts: int = 0  # whose own p90 is past the deadline
    late: bool = False  # p90 is past the deadline, or was and is still close to it
