"""The plan as lanes: one for each host, what happened in it and what is still planned. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agents.wire import Kind
from scheduler.book import Book
from scheduler.rollout import UNDER_WAY, HostRecord, Step, StepState
from scheduler.service.pace import Pace, pace_to_come

WIDTH, LABEL, LANE, TOP = 1100, 150, 18, 24
"""Pixels of the drawing: its time axis, the names left of it, a lane's height, the scale above."""

UNSEEN = (Kind.START, Kind.MEND, Kind.RETUNE)
"""Neither empties a host nor reboots it; a start comes when both are over."""
TICKS_S = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 24 * 3600)
MOST_TICKS = 12


@dataclass(frozen=True)
class Bar:
    """A stretch of time in a lane. `look`: its CSS class."""

    x: float
    width: float
    look: str
    title: str


@dataclass(frozen=True)
class Lane:
    """One host."""

    name: str
    state: str
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Drawing:
    """All that the template prints; x and y in pixels."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    now_x: float | None
    width: int
    height: int


@dataclass(frozen=True)
class _Span:
    start_s: float  # since the rollout was created
    end_s: float
    look: str
    title: str


def drawing(book: Book, wave: int | None, now: datetime) -> Drawing:
    """The hosts of one wave, or of all waves, in the order in which they are emptied."""
    now = book.rollout.ended_at or now
    now_s = (now - book.rollout.created_at).total_seconds()
    spans = _spans(book, now)
    hosts = [
        host
        for host in book.hosts.values()
        if host.wave is not None and (wave is None or host.wave == wave)
    ]
    hosts.sort(key=lambda host: (host.wave or 0, _first_s(spans.get(host.name, ())), host.name))
    shown = [spans.get(host.name, []) for host in hosts]
    end_s = max((span.end_s for some in shown for span in some), default=0.0)
    end_s = max(end_s, now_s, 60.0)
    lanes = tuple(_lane(n, host, shown[n], end_s) for n, host in enumerate(hosts))
    return Drawing(
        lanes=lanes,
        ticks=tuple(_ticks(end_s)),
        now_x=None if book.rollout.ended_at else _x(now_s, end_s),
        width=LABEL + WIDTH + 20,
        height=TOP + LANE * len(lanes) + 8,
    )


def _first_s(spans: Iterable[_Span]) -> float:
    return min((span.start_s for span in spans), default=math.inf)


def _spans(book: Book, now: datetime) -> dict[str, list[_Span]]:
    """Host -> what happened and what is planned: emptying (all moves as one), then the reboot."""
    measured = pace_to_come(book, now)
    found: dict[str, list[_Span]] = {}
    for step in book.steps.values():
        if step.kind in UNSEEN or step.state in (StepState.SKIPPED, StepState.FAILED):
            continue
        start_s, end_s = _times(book, step, now, measured)
        span = _Span(start_s, end_s, _look(step), str(step.kind))
        found.setdefault(step.host, []).append(span)
    return {host: _joined(spans) for host, spans in found.items()}


def _times(book: Book, step: Step, now: datetime, measured: Pace) -> tuple[float, float]:
    """When a step was, is, or will be: as measured, else as planned at the pace to come."""
    created = book.rollout.created_at
    now_s = (now - created).total_seconds()
    # A host that reboots cannot say when it began: the order was what began it.
    began = step.ordered_at if step.kind is Kind.REBOOT else step.started_at or step.ordered_at
    if step.state is StepState.DONE or step.state in UNDER_WAY:
        start_s = (began - created).total_seconds() if began else now_s
        end_s = (step.ended_at - created).total_seconds() if step.ended_at else now_s
        return start_s, max(start_s, end_s)
    ahead_s = max(0.0, step.planned_start_s - measured.reached_s)
    start_s = now_s + ahead_s * measured.real_per_planned
    lasts_s = step.planned_end_s - step.planned_start_s
    return start_s, start_s + lasts_s * measured.real_per_planned


def _look(step: Step) -> str:
    what = "reboot" if step.kind is Kind.REBOOT else "drain"
    if step.state is StepState.DONE:
        return f"{what} past"
    return f"{what} live" if step.state in UNDER_WAY else f"{what} planned"


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """One span for each look: from its first beginning to its last end."""
    by_look: dict[str, list[_Span]] = {}
    for span in spans:
        by_look.setdefault(span.look, []).append(span)
    return [
        _Span(
            min(span.start_s for span in some),
            max(span.end_s for span in some),
            look,
            f"{look}, {len(some)} steps" if len(some) > 1 else look,
        )
        for look, some in by_look.items()
    ]


def _lane(number: int, host: HostRecord, spans: Iterable[_Span], end_s: float) -> Lane:
    bars = tuple(
        Bar(
            x=_x(span.start_s, end_s),
            width=max(2.0, round(_x(span.end_s, end_s) - _x(span.start_s, end_s), 1)),
            look=span.look,
            title=span.title,
        )
        for span in spans
    )
    return Lane(host.name, str(host.state), TOP + number * LANE, bars)


def _x(at_s: float, end_s: float) -> float:
    return round(LABEL + WIDTH * at_s / end_s, 1)


def _ticks(end_s: float) -> Iterable[tuple[float, str]]:
    every_s = next((tick for tick in TICKS_S if end_s / tick <= MOST_TICKS), TICKS_S[-1])
    for number in range(int(end_s // every_s) + 1):
        minutes = number * every_s // 60
        yield _x(number * every_s, end_s), f"{minutes // 60}:{minutes % 60:02}"
