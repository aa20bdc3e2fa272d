"""What a pause costs: how much later the rollout ends, and who is left half emptied. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import numpy as np

from agents.wire import Kind
from scheduler.book import Book
from scheduler.forecast import Asked, deadline_of, finish
from scheduler.forecast_assumed import assumed
from scheduler.forecast_runs import ends
from scheduler.forecast_speeds import speeds
from scheduler.forecast_works import ceilings, works_of
from scheduler.frozen import Frozen
from scheduler.outlook import Assumed
from scheduler.rollout import HostState


class HalfDrained(Frozen):
    """A host that stays closed through the pause, with guests that were to leave it."""

    host: str
    guests_left: int  # moves and restarts still to come
    guests_gone: int


class PauseCost(Frozen):
    """What a pause of `for_s` from now on comes to; running steps end, no new one starts."""

    for_s: float
    p50_later_s: float
    p90_later_s: float
    p90_at: datetime  # with the pause
    deadline: datetime | None
    makes_late: bool  # p90 is before the deadline without the pause, and past it with the pause
    half_drained: tuple[HalfDrained, ...]
    closed: int  # hosts that take no new guests meanwhile
    down: tuple[str, ...]  # guests that are shut down, and wait for the end of the pause
    assuming: tuple[Assumed, ...] = ()  # what else waits for somebody, taken to go on at once


def pause_cost(book: Book, now: datetime, for_s: float, asked: Asked) -> PauseCost:
    """What it costs to start nothing new for so many seconds."""
    works, limits, measured = works_of(book, now), ceilings(book.rollout), speeds(book)
    chance = asked.chance()
    without = finish(ends(works, limits, measured, chance), chance.runs)
    paused = finish(ends(works, limits, measured, chance, from_s=for_s), chance.runs)
    # The same draws on both sides: the difference is the pause alone.
    before = [float(one) for one in np.quantile(without, (0.5, 0.9))]
    after = [float(one) for one in np.quantile(paused, (0.5, 0.9))]
    deadline = deadline_of(book.rollout)
    left_s = (deadline - now).total_seconds() if deadline else np.inf
    return PauseCost(
        for_s=for_s,
        p50_later_s=after[0] - before[0],
        p90_later_s=after[1] - before[1],
        p90_at=now + timedelta(seconds=after[1]),
        deadline=deadline,
        makes_late=before[1] <= left_s < after[1],
        half_drained=half_drained(book),
        closed=sum(host.closed for host in book.hosts.values()),
        down=tuple(sorted(guest.name for guest in book.guests.values() if guest.down)),
        assuming=tuple(one for one in assumed(book) if not _is_the_pause(one)),
    )


def _is_the_pause(one: Assumed) -> bool:
    return (one.what, one.waits_for) == ("rollout", "resume")


def half_drained(book: Book) -> tuple[HalfDrained, ...]:
    """Hosts that are being emptied, those with most guests left first."""
    left = Counter(
        book.steps[name].host
        for name in book.unfinished
        if book.steps[name].kind in (Kind.MOVE, Kind.STOP)
    )
    gone = Counter(
        step.host
        for step in book.steps.values()
        if step.kind is Kind.MOVE and step.outcome in ("moved", "crashed")
    )
    rows = [
        HalfDrained(host=host.name, guests_left=left[host.name], guests_gone=gone[host.name])
        for host in book.hosts.values()
        if host.state is HostState.DRAINING
    ]
    return tuple(sorted(rows, key=lambda row: (-row.guests_left, row.host)))
