"""Maintenance windows by the wall clock of a place, on ordinary nights and when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from scheduler.windows import Day, Window, Windows, is_open, next_opening

WEEK = tuple(Day)


def paris(opens: str, closes: str, *days: Day) -> Windows:
    window = Window(days=days or WEEK, opens=opens, closes=closes)
    return Windows(zone="Europe/Paris", windows=(window,))


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def open_minutes(windows: Windows, day: str) -> list[str]:
    """The spans of that UTC day and the next during which it is open, as `HH:MM-HH:MM` in UTC."""
    spans: list[list[datetime]] = []
    for minute in range(2 * 24 * 60):
        now = at(day) + timedelta(minutes=minute)
        if is_open(windows, now):
            if spans and spans[-1][1] == now:
                spans[-1][1] = now + timedelta(minutes=1)
            else:
                spans.append([now, now + timedelta(minutes=1)])
    return [f"{a:%d %H:%M}-{b:%d %H:%M}" for a, b in spans]


def test_a_window_is_open_from_its_first_to_before_its_last_minute() -> None:
    assert open_minutes(paris("09:00", "10:30", Day.WED), "2026-06-17") == ["17 07:00-17 08:30"]


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    friday = paris("22:00", "05:00", Day.FRI)
    assert open_minutes(friday, "2026-06-19") == ["19 20:00-20 03:00"]
    assert open_minutes(friday, "2026-06-21") == []


def test_a_window_that_closes_when_it_opens_lasts_a_whole_day() -> None:
    whole = paris("00:00", "00:00", Day.SAT)
    assert open_minutes(whole, "2026-06-19") == ["19 22:00-20 22:00"]


# On 2026-03-29 Paris goes from 02:00 to 03:00 (01:00 UTC); on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ("opens", "closes", "day", "spans"),
    [
        ("01:00", "05:00", "2026-03-29", ["29 00:00-29 03:00"]),  # an hour shorter
        ("01:00", "02:30", "2026-03-29", ["29 00:00-29 01:00"]),  # closes when the clocks skip it
        ("02:30", "04:00", "2026-03-29", ["29 01:00-29 02:00"]),  # opens then
        ("02:15", "02:45", "2026-03-29", []),  # does not take place
        ("01:00", "05:00", "2026-10-25", ["24 23:00-25 04:00"]),  # an hour longer
        ("02:15", "02:45", "2026-10-25", ["25 00:15-25 00:45"]),  # the first of the two
        ("02:30", "05:00", "2026-10-25", ["25 00:30-25 04:00"]),  # without a break
    ],
)
def test_what_a_window_does_in_the_night_in_which_the_clocks_change(
    opens: str, closes: str, day: str, spans: list[str]
) -> None:
    begin = datetime.fromisoformat(day) - timedelta(days=1)
    windows = paris(opens, closes, Day.SUN)
    assert open_minutes(windows, begin.date().isoformat()) == spans


def test_the_next_opening_is_told_in_the_windows_own_time() -> None:
    windows = paris("22:00", "23:00", Day.MON, Day.THU)
    opens = next_opening(windows, at("2026-06-15T21:30"))
    assert opens and opens.isoformat() == "2026-06-18T22:00:00+02:00"
    swallowed = paris("02:15", "02:45", Day.SUN)
    opens = next_opening(swallowed, at("2026-03-28T12:00"))
    assert opens and opens.isoformat() == "2026-04-05T02:15:00+02:00"


def test_zones_beyond_whole_hours_and_at_the_other_end_of_the_day_are_right() -> None:
    kathmandu = Windows(
        zone="Asia/Kathmandu", windows=(Window(days=(Day.MON,), opens="00:00", closes="01:00"),)
    )
    assert open_minutes(kathmandu, "2026-06-14") == ["14 18:15-14 19:15"]
    auckland = Windows(
        zone="Pacific/Auckland", windows=(Window(days=(Day.MON,), opens="08:00", closes="09:00"),)
    )
    assert open_minutes(auckland, "2026-06-14") == ["14 20:00-14 21:00"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"zone": "Europe/Pariss", "windows": [{"opens": "1:00", "closes": "02:00"}]}, "Pariss"),
        ({"zone": "../etc/passwd", "windows": []}, "no time zone"),
        ({"zone": "UTC", "windows": []}, "at least 1"),
        ({"zone": "UTC", "windows": [{"opens": "24:00", "closes": "02:00"}]}, "opens"),
        ({"zone": "UTC", "windows": [{"opens": "23:00", "closes": "2:00"}]}, "closes"),
        ({"zone": "UTC", "windows": [{"days": [], "opens": "23:00", "closes": "02:00"}]}, "days"),
        ({"zone": "UTC", "windows": [{"days": ["so"], "opens": "23:00", "closes": "02:00"}]}, "so"),
    ],
)
def test_a_window_that_cannot_be_is_refused(facts: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Windows.model_validate(facts)
