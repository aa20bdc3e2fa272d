"""Classes of guests: how many were moved, how many crashed of it, and which must rest. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from scheduler.binomial import interval
from scheduler.budget import exceeded, in_words
from scheduler.limits import Limits
from scheduler.rollout import Hold
from scheduler.watched import Cause, ClassKey, ClassMark, Trial


class ClassView(BaseModel):
    """A class and a pair of builds, as shown. `crashed` in the soak time, `later` after it."""

    model_config = ConfigDict(frozen=True)

    guest_class: str
    build_from: str
    build_to: str
    moved: int
    crashed: int
    later: int
    guest_hours: float  # after moves, under watch
    crash_rate: float
    crash_rate_low: float  # of the 95 % interval (Clopper-Pearson)
    crash_rate_high: float
    quarantine: Hold | None
    released: Hold | None


def judge(
    trials: Iterable[Trial], marks: Mapping[str, ClassMark], limits: Limits
) -> dict[str, str]:
    """Classes that broke their budget and are not quarantined yet, and why, in words.

    A class is judged for each pair of builds by itself; what is quarantined is the whole class.
    """
    found: dict[str, str] = {}
    for key, (crashed, moved) in counted(trials, marks).items():
        mark = marks.get(key.guest_class)
        resting = mark is not None and mark.quarantine is not None
        over = exceeded(crashed, moved, limits.class_budget, limits.crash_doubt)
        if crashed and over and not resting:
            words = in_words(crashed, moved, limits.class_budget)
            found.setdefault(key.guest_class, f"{key.pair}: {words}")
    return found


def counted(
    trials: Iterable[Trial], marks: Mapping[str, ClassMark]
) -> dict[ClassKey, tuple[int, int]]:
    """(crashed, moved) by class, of the moves that count since it was last released."""
    crashed: defaultdict[ClassKey, int] = defaultdict(int)
    moved: defaultdict[ClassKey, int] = defaultdict(int)
    for trial in trials:
        since = _since(trial.key.guest_class, marks)
        if since is None or trial.moved_at > since:
            moved[trial.key] += 1
            crashed[trial.key] += trial.failed
    return {key: (crashed[key], number) for key, number in moved.items()}


def _since(guest_class: str, marks: Mapping[str, ClassMark]) -> datetime | None:
    mark = marks.get(guest_class)
    return mark.counts_from if mark else None


def views(
    trials: Iterable[Trial],
    past: Mapping[ClassKey, Mapping[str, int]],
    hours: Mapping[ClassKey, float],
    marks: Mapping[str, ClassMark],
) -> list[ClassView]:
    """Every class that was ever moved, or rests. `past`: counts of moves watched no more."""
    counts: defaultdict[ClassKey, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, numbers in past.items():
        for what, number in numbers.items():
            counts[key][what] += number
    for trial in trials:
        for what, number in outcome(trial).items():
            counts[trial.key][what] += number
    known = {key.guest_class for key in counts}
    for mark in marks.values():
        if mark.quarantine and mark.guest_class not in known:
            counts[ClassKey(guest_class=mark.guest_class)]["moved"] += 0
    keys = sorted(counts, key=lambda key: (key.guest_class, key.build_from, key.build_to))
    return [_view(key, counts[key], hours.get(key, 0.0), marks) for key in keys]


def outcome(trial: Trial) -> dict[str, int]:
    """What one move adds to its class."""
    later = trial.cause is Cause.CRASHED and not trial.in_soak
    return {"moved": 1, "crashed": int(trial.failed), "later": int(later)}


def _view(
    key: ClassKey, counts: Mapping[str, int], hours: float, marks: Mapping[str, ClassMark]
) -> ClassView:
    mark = marks.get(key.guest_class) or ClassMark(guest_class=key.guest_class)
    moved, crashed = counts["moved"], counts["crashed"]
    low, high = interval(crashed, moved)
    return ClassView(
        guest_class=key.guest_class,
        build_from=key.build_from,
        build_to=key.build_to,
        moved=moved,
        crashed=crashed,
        later=counts["later"],
        guest_hours=hours,
        crash_rate=crashed / moved if moved else 0.0,
        crash_rate_low=low,
        crash_rate_high=high,
        quarantine=mark.quarantine,
        released=mark.released,
    )
