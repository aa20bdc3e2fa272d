"""What a pause costs, in words for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.forecast_pause import PauseCost
from scheduler.show_screen import duration
from scheduler.text import plain

LISTED = 5


def lines(cost: PauseCost) -> Iterator[str]:
    """A line for each thing that a pause of this length costs."""
    later = f"p50 {duration(cost.p50_later_s)}, p90 {duration(cost.p90_later_s)} later"
    yield f"a pause of {duration(cost.for_s)} makes the end come {later}"
    if cost.makes_late and cost.deadline is not None:
        day = "%Y-%m-%d " if cost.p90_at.date() != cost.deadline.date() else ""
        ends = f"{cost.p90_at:{day}%H:%M}", f"{cost.deadline:{day}%H:%M} UTC"
        yield f"with it p90, {ends[0]}, is past the deadline, {ends[1]}"
    if cost.half_drained:
        shown = [f"{row.host} ({row.guests_left} left)" for row in cost.half_drained[:LISTED]]
        more = len(cost.half_drained) - LISTED
        names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        yield plain(f"{len(cost.half_drained)} hosts stay closed half emptied: {names}")
    if cost.down:
        yield plain(f"shut down until it goes on: {', '.join(cost.down[:LISTED])}")
    yield from (plain(one.text) for one in cost.assuming)
