"""What the records of the watch say, for command line and service. Raises redis errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from scheduler.classes import ClassView, views
from scheduler.comparison import Comparison, comparison
from scheduler.rollout import Happening
from scheduler.watch_store import WatchStore
from scheduler.watched import ClassKey, Ending, GuestHours, Trial


class CrashList(BaseModel):
    """Domains that ended without a step of ours, and hints of guests that are very quiet."""

    model_config = ConfigDict(frozen=True)

    days: int
    endings: tuple[Ending, ...]  # the oldest first
    quiet: tuple[Trial, ...]
    watched: int  # guests that were moved and are watched now
    events: tuple[Happening, ...]  # quarantines, releases, alarms; the oldest first


def crash_list(store: WatchStore, now: datetime, days: int, *, everything: bool) -> CrashList:
    """Crashes and endings of unknown cause of the newest days; `everything`: reboots too."""
    first = now - timedelta(days=days)
    trials = [trial for trial in store.trials() if trial.ended_at is None]
    asked_for = {"rebooted", "shut_down", "host"} if not everything else set()
    return CrashList(
        days=days,
        endings=tuple(e for e in store.endings() if e.at >= first and e.cause not in asked_for),
        quiet=tuple(trial for trial in trials if trial.quiet),
        watched=len(trials),
        events=tuple(event for event in store.events(500) if event.at >= first),
    )


def class_list(store: WatchStore) -> list[ClassView]:
    """Every class that was ever moved, over all rollouts."""
    hours = hours_after_moves(store.hours())
    return views(store.trials(), store.past(), hours, store.marks())


def hours_after_moves(hours: Iterable[GuestHours]) -> dict[ClassKey, float]:
    """Guest-hours under watch after moves, by class."""
    found: defaultdict[ClassKey, float] = defaultdict(float)
    for one in hours:
        if one.group == "moved":
            found[one.key] += one.hours
    return dict(found)


def crash_compare(
    store: WatchStore, now: datetime, days: int, *, confidence: float, with_unknown: bool
) -> Comparison:
    """Later crashes of moved guests beside those of the others."""
    return comparison(
        store.hours(),
        store.endings(),
        now,
        days,
        confidence=confidence,
        with_unknown=with_unknown,
    )
