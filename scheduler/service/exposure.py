"""How many hosts and guests were exposed at each moment of a rollout. Pure.

Nothing is recorded for this: a step says when it ended and where its guest went, a host says since
when it is fixed, and the fleet's document says where every guest was at the start.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.wire import Kind
from scheduler.book import Book
from scheduler.rollout import HostState, Rollout, Step, StepState
from scheduler.service.pace import forecast

SAFE = frozenset({HostState.FIXED, HostState.UNAFFECTED})
MOST_POINTS = 1000


class Point(BaseModel):
    """Counts from this moment on."""

    model_config = ConfigDict(frozen=True)

    at_s: float  # since the epoch
    hosts: int
    guests: int


class Curve(BaseModel):
    """The burn-down, and when it will reach its end at the pace so far (seconds from now)."""

    model_config = ConfigDict(frozen=True)

    points: tuple[Point, ...]
    knows_guests: bool  # False where the document of the start says nothing of guests
    left_p50_s: float | None
    left_p90_s: float | None
    deadline_at_s: float | None  # since the epoch: the first deadline of its advisories


def guests_at_start(document: bytes | None) -> dict[str, str]:
    """Guest -> host, from the fleet's document of a rollout's first plan."""
    said: dict[str, Any] = json.loads(document) if document else {}
    return {guest["name"]: guest["host"] for guest in said.get("guests", ())}


def curve(book: Book, at_start: Mapping[str, str], now: datetime) -> Curve:
    """The burn-down up to now, or to the rollout's end."""
    end = book.rollout.ended_at or now
    p50_s, p90_s = forecast(book, now)
    return Curve(
        points=tuple(_thinned(points(book, at_start, end))),
        knows_guests=bool(at_start),
        left_p50_s=p50_s,
        left_p90_s=p90_s,
        deadline_at_s=deadline_s(book.rollout),
    )


def deadline_s(rollout: Rollout) -> float | None:
    """When every host must be safe, in seconds since the epoch; None: nobody said."""
    found = [one.deadline.timestamp() for one in rollout.advisories if one.deadline]
    return min(found, default=None)


def points(book: Book, at_start: Mapping[str, str], end: datetime) -> Iterable[Point]:
    """Counts after every change, and at the end."""
    on = Counter(at_start.values())
    exposed = {h.name for h in book.hosts.values() if h.state is not HostState.UNAFFECTED}
    guests = sum(count for host, count in on.items() if host in exposed)
    yield Point(at_s=book.rollout.created_at.timestamp(), hosts=len(exposed), guests=guests)
    for at, move, fixed in _changes(book):
        if move is not None and move.destination is not None:
            guests += (move.destination in exposed) - (move.host in exposed)
            on.update({move.host: -1, move.destination: 1})
        elif fixed in exposed:
            exposed.discard(fixed)
            guests -= on[fixed]
        yield Point(at_s=at.timestamp(), hosts=len(exposed), guests=max(0, guests))
    yield Point(at_s=end.timestamp(), hosts=len(exposed), guests=max(0, guests))


def _changes(book: Book) -> list[tuple[datetime, Step | None, str]]:
    """Arrivals of guests and repairs of hosts, in the order in which they happened."""
    found: list[tuple[datetime, Step | None, str]] = []
    for step in book.steps.values():
        if step.state is not StepState.DONE or step.ended_at is None:
            continue
        if step.kind is Kind.MOVE and step.outcome == "moved":
            found.append((step.ended_at, step, ""))
        elif step.kind is Kind.REBOOT and book.hosts[step.host].state is HostState.FIXED:
            found.append((step.ended_at, None, step.host))
    return sorted(found, key=lambda change: change[0])


def _thinned(points: Iterable[Point]) -> list[Point]:
    """At most so many points, the first and the last among them."""
    found = list(points)
    stride = -(-len(found) // MOST_POINTS)
    return [*found[:-1:stride], found[-1]]
