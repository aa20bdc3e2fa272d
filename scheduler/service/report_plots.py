"""The pictures of a report, as coordinates for SVG; nothing is loaded from anywhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.wire import Kind
from scheduler.book import Book
from scheduler.rollout import StepState
from scheduler.service.exposure import Curve, Point

WIDTH, HEIGHT, LEFT, BELOW = 860, 220, 52, 24
"""Pixels of a picture, and within it of the numbers beside and below the drawing."""
TICKS_S = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 24 * 3600)
MOST_TICKS = 8
MOST_BARS = 60
BAR_STEPS_S = (10, 60, 300, 900, 1800, 3600, 3 * 3600)


@dataclass(frozen=True)
class Mark:
    """A moment that is drawn as a line from top to bottom."""

    x: float
    look: str  # `since`, `deadline`
    text: str


@dataclass(frozen=True)
class Plot:
    """One picture."""

    title: str
    look: str
    points: str  # of a polyline; empty where there are bars
    bars: tuple[tuple[float, float, float, float], ...]  # x, y, width, height
    highest: int
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class _Axis:
    start_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        share = (at_s - self.start_s) / (self.end_s - self.start_s)
        return round(LEFT + (WIDTH - LEFT) * min(1.0, max(0.0, share)), 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        span_s = self.end_s - self.start_s
        every_s = next((tick for tick in TICKS_S if span_s / tick <= MOST_TICKS), TICKS_S[-1])
        first = math.ceil(self.start_s / every_s)
        form = "%m-%d %H:%M" if span_s > 86_400 else "%H:%M"
        times = (number * every_s for number in range(first, int(self.end_s // every_s) + 1))
        return tuple((self.x(at), datetime.fromtimestamp(at, UTC).strftime(form)) for at in times)


def plots(curve: Curve, book: Book, since: datetime | None) -> list[Plot]:
    """The burn-down of hosts and of guests, and how many moves ended when."""
    last = curve.points[-1].at_s
    axis = _Axis(curve.points[0].at_s, max(last, curve.points[0].at_s + 1))
    marks = tuple(_marks(curve, axis, since))
    found = [_burned("exposed hosts", "hosts", curve.points, axis, marks)]
    if curve.knows_guests:
        found.append(_burned("exposed guests", "guests", curve.points, axis, marks))
    return [*found, _moves(book, axis, marks)]


def _marks(curve: Curve, axis: _Axis, since: datetime | None) -> Iterable[Mark]:
    if since is not None and axis.start_s < since.timestamp() < axis.end_s:
        yield Mark(axis.x(since.timestamp()), "since", "since")
    deadline_s = curve.deadline_at_s
    if deadline_s is not None and axis.start_s < deadline_s <= axis.end_s:
        yield Mark(axis.x(deadline_s), "deadline", "deadline")


def _burned(
    title: str, look: str, points: Sequence[Point], axis: _Axis, marks: tuple[Mark, ...]
) -> Plot:
    counts = [point.hosts if look == "hosts" else point.guests for point in points]
    highest = max(1, *counts)
    spots: list[str] = []
    before = counts[0]
    for point, count in zip(points, counts, strict=True):
        x = axis.x(point.at_s)
        spots += [f"{x},{_y(before, highest)}", f"{x},{_y(count, highest)}"]
        before = count
    return Plot(title, look, " ".join(spots), (), highest, axis.ticks(), marks)


def _moves(book: Book, axis: _Axis, marks: tuple[Mark, ...]) -> Plot:
    span_s = axis.end_s - axis.start_s
    every_s = next((s for s in BAR_STEPS_S if span_s / s <= MOST_BARS), BAR_STEPS_S[-1])
    counts = [0] * (int(span_s // every_s) + 1)
    for step in book.steps.values():
        ended = step.kind is Kind.MOVE and step.state is StepState.DONE and step.outcome == "moved"
        if ended and step.ended_at is not None:
            place = int((step.ended_at.timestamp() - axis.start_s) // every_s)
            counts[min(max(0, place), len(counts) - 1)] += 1
    highest = max(1, *counts)
    bars = []
    for number, count in enumerate(counts):
        x = axis.x(axis.start_s + number * every_s)
        wide = axis.x(axis.start_s + (number + 1) * every_s) - x
        y = _y(count, highest)
        bars.append((x, y, round(max(1.0, wide - 1), 1), round(HEIGHT - BELOW - y, 1)))
    minutes = every_s / 60
    title = f"moves that ended in each {minutes:g} min" if minutes >= 1 else "moves in each 10 s"
    return Plot(title, "moves", "", tuple(bars), highest, axis.ticks(), marks)


def _y(count: int, highest: int) -> float:
    return round(8 + (HEIGHT - BELOW - 8) * (1 - count / highest), 1)
