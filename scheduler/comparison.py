"""Later crashes of guests that were moved beside those of guests that were not. Pure.

The soak time's crashes are left out: they are judged by the budgets. A guest counts as moved from
the end of its move until it is moved again, starts afresh, or the watch over it ends; before and
after that its hours count for the others, so that guests are compared with themselves too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from scheduler.hazard import Ratio, Stratum, compare
from scheduler.watched import Cause, Ending, GuestHours


class StratumView(BaseModel):
    """One class of guests, whatever the builds. Rates are crashes in 1,000 guest-days."""

    model_config = ConfigDict(frozen=True)

    guest_class: str
    moved_h: float
    moved_crashes: int
    moved_rate: float | None
    other_h: float
    other_crashes: int
    other_rate: float | None


class Comparison(BaseModel):
    """The whole answer. `ratio` is None, and `low` 0, where the crashes do not tell."""

    model_config = ConfigDict(frozen=True)

    days: int
    confidence: float
    with_unknown: bool
    ratio: float | None
    low: float
    high: float | None
    strata: tuple[StratumView, ...]
    unknown_endings: int  # not counted unless `with_unknown`
    words: str


def strata(
    hours: Iterable[GuestHours],
    endings: Iterable[Ending],
    now: datetime,
    days: int,
    with_unknown: bool = False,
) -> list[Stratum]:
    """Hours and later crashes of the newest days, by class."""
    first = now - timedelta(days=days)
    hours_of: defaultdict[tuple[str, str], float] = defaultdict(float)
    for one in hours:
        if one.day >= first.date().isoformat():
            hours_of[one.key.guest_class, one.group] += one.hours
    crashes: defaultdict[tuple[str, str], int] = defaultdict(int)
    for ending in endings:
        if ending.at >= first and counts(ending, with_unknown):
            crashes[ending.key.guest_class, "moved" if ending.trial else "other"] += 1
    return [
        Stratum(
            kind=name,
            moved_h=hours_of[name, "moved"],
            moved_crashes=crashes[name, "moved"],
            other_h=hours_of[name, "other"],
            other_crashes=crashes[name, "other"],
        )
        for name in sorted({name for name, _ in [*hours_of, *crashes]})
    ]


def counts(ending: Ending, with_unknown: bool = False) -> bool:
    """Whether an ending is a later crash."""
    causes = {Cause.CRASHED, Cause.UNKNOWN} if with_unknown else {Cause.CRASHED}
    return ending.cause in causes and not ending.in_soak


def comparison(
    hours: Iterable[GuestHours],
    endings: Sequence[Ending],
    now: datetime,
    days: int,
    *,
    confidence: float = 0.95,
    with_unknown: bool = False,
) -> Comparison:
    """Put it together for a reader."""
    found = strata(hours, endings, now, days, with_unknown)
    ratio = compare(found, confidence)
    first = now - timedelta(days=days)
    unknown = sum(e.cause is Cause.UNKNOWN and not e.in_soak and e.at >= first for e in endings)
    return Comparison(
        days=days,
        confidence=confidence,
        with_unknown=with_unknown,
        ratio=ratio.estimate,
        low=ratio.low,
        high=ratio.high,
        strata=tuple(map(_view, found)),
        unknown_endings=unknown,
        words=words(ratio, found),
    )


def _view(stratum: Stratum) -> StratumView:
    return StratumView(
        guest_class=stratum.kind,
        moved_h=stratum.moved_h,
        moved_crashes=stratum.moved_crashes,
        moved_rate=_rate(stratum.moved_crashes, stratum.moved_h),
        other_h=stratum.other_h,
        other_crashes=stratum.other_crashes,
        other_rate=_rate(stratum.other_crashes, stratum.other_h),
    )


def _rate(crashes: int, hours: float) -> float | None:
    return crashes / hours * 24_000 if hours else None


def words(ratio: Ratio, found: Sequence[Stratum]) -> str:
    """What it means, for somebody who does not read intervals every day."""
    crashes = sum(stratum.crashes for stratum in found)
    if not any(stratum.tells for stratum in found):
        if crashes == 0:
            return "No guest crashed later than the soak time: nothing can be said of a difference."
        return "No class has crashes and hours of both moved and other guests: nothing to compare."
    span = f"the {100 * ratio.confidence:g} % interval is {ratio.low:.2g} to "
    span += "anything" if ratio.high is None else f"{ratio.high:.2g}"
    if ratio.low > 1:
        return f"Moved guests crash more often later than others: {span}."
    if ratio.high is not None and ratio.high < 1:
        return f"Moved guests crash less often later than others: {span}."
    return f"No difference is shown between moved guests and others: {span}."
