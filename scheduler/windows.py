"""Maintenance windows by the wall clock of a place, whatever its clocks do in the year. Pure.

A window that begins at a time that the clocks skip opens, and one that ends at such a time closes,
at the moment of the change; of a time that comes twice the first one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from scheduler.frozen import Frozen

LOOK_AHEAD_DAYS = 15
"""Any window of a week opens within so many days, one that a change of clocks swallows too."""

WallTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


DAYS = tuple(Day)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"no time zone {name!r}; it is named as in 'Europe/Paris'") from None
    return name


class Window(Frozen):
    """From `opens` to `closes` on each of these days; past midnight where that is not later."""

    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)  # on which it opens
    opens: WallTime
    closes: WallTime


class Windows(Frozen):
    """When hosts may begin to be drained."""

    zone: Annotated[str, AfterValidator(_zone)]  # IANA, such as "Europe/Paris"
    windows: tuple[Window, ...] = Field(min_length=1)


def is_open(windows: Windows, now: datetime) -> bool:
    """Whether a window is open at this moment."""
    return any(opens <= now < closes for opens, closes in spans(windows, now, 1))


def next_opening(windows: Windows, now: datetime) -> datetime | None:
    """When the next window opens, in its own zone; None if none does within two weeks."""
    later = [o for o, c in spans(windows, now, LOOK_AHEAD_DAYS) if o > now and c > o]
    return min(later).astimezone(ZoneInfo(windows.zone)) if later else None


def spans(windows: Windows, now: datetime, days_ahead: int) -> Iterator[tuple[datetime, datetime]]:
    """Every opening and closing in UTC, from those of yesterday on; in no order, some may touch."""
    zone = ZoneInfo(windows.zone)
    today = now.astimezone(zone).date()
    for number in range(-1, days_ahead + 1):
        day = today + timedelta(days=number)
        for window in windows.windows:
            if DAYS[day.weekday()] in window.days:
                yield _span(window, day, zone)


def _span(window: Window, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    last = day if window.closes > window.opens else day + timedelta(days=1)
    return _moment(day, window.opens, zone), _moment(last, window.closes, zone)


def _moment(day: date, wall: str, zone: ZoneInfo) -> datetime:
    """When the clocks there show that time, in UTC."""
    naive = datetime.combine(day, datetime.strptime(wall, "%H:%M").time())
    moment = naive.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == naive:
        return moment
    # Skipped: the change lies between its two readings, by the offsets before and after it.
    early, late = naive.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    offset = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
