"""The nouns of what may go on and what may not: waves, wishes for a part of a rollout, holds."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from agents.wire import Wanted
from scheduler.frozen import Frozen


class Hold(Frozen):
    """What keeps something from going on, since when, and who or what said so."""

    reason: str
    since: datetime
    by: str


class PartWish(Frozen):
    """What a person wants of one wave or one host; hosts obey it before the controller does."""

    wanted: Wanted
    by: str
    reason: str = ""
    at: datetime

    def hold(self, what: str) -> Hold:
        """The wish as what holds something."""
        reason = f"{what}: {self.reason}" if self.reason else what
        return Hold(reason=reason, since=self.at, by=self.by)


class WaveState(StrEnum):
    """How far a wave has come, one line of meaning each."""

    WAITING = "waiting"  # none of its steps starts; `holds` say why
    OPEN = "open"  # its steps may start; while there are `holds`, no further host is drained
    ENDED = "ended"  # every host of it is back, blocked, or left out
    ABORTED = "aborted"  # a person ended it: its hosts are left out
    SUPERSEDED = "superseded"  # a newer plan has its hosts in other waves


class WaveRecord(Frozen):
    """One wave. Its number is never given to another wave of the same rollout."""

    number: int
    generation: int = 1
    hosts: tuple[str, ...] = ()
    gate: bool = False  # later waves wait until all its hosts are back
    late: bool = False  # of hosts with guests of quarantined classes (`scheduler.late_wave`)
    behind: int | None = None  # this wave, and those before it, have to be back first
    state: WaveState = WaveState.WAITING
    holds: tuple[Hold, ...] = ()
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    approval: Hold | None = None  # who let it go on, when and why
    wish: PartWish | None = None  # the last one that was taken up

    @property
    def paused(self) -> Hold | None:
        """The pause of a person, if there is one."""
        if self.wish is None or self.wish.wanted is not Wanted.PAUSE:
            return None
        return self.wish.hold(f"wave {self.number} is paused")
