"""Controllers that die at a write, as their fate will have it."""

from __future__ import annotations

from collections.abc import Callable

from agents.wire import Wanted
from scheduler.rollout import Change, Rollout
from scheduler.store import Store
from scheduler.watch_store import Saving, WatchStore

Fate = Callable[[str], bool]
"""Whether the controller dies now: `before` or `after` a write, after a `forecast`, which every
controller makes anew, or at a `watch`, when it writes down what it saw of guests."""


class Died(BaseException):
    """The controller was killed at a write, as no part of it can catch."""


def immortal(when: str) -> bool:
    """Nobody kills it."""
    return False


def after_every_write(when: str) -> bool:
    """It never hears of what it wrote."""
    return when == "after"


class MortalStore(Store):
    """Writes, and may die before or after it."""

    fate: Fate = staticmethod(immortal)

    def save(self, before: Rollout, change: Change, wanted: Wanted | None = None) -> Rollout:
        if self.fate("before"):
            raise Died
        head = super().save(before, change, wanted)
        if self.fate("after" if any(_records(change)) else "forecast"):
            raise Died
        return head


def _records(change: Change) -> tuple[object, ...]:
    """What a change is besides the rollout's head; a forecast alone has nothing of it."""
    return change.steps, change.hosts, change.guests, change.waves, change.happenings


class MortalWatch(WatchStore):
    """The same for what is kept of guests."""

    fate: Fate = staticmethod(immortal)

    def save(self, saving: Saving) -> None:
        if self.fate("watch"):
            raise Died
        super().save(saving)
        if self.fate("watch"):
            raise Died
