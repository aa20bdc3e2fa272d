"""Guest-hours on exposed hosts: so far by the records, and to come by the runs of a forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np

from agents.wire import Kind
from scheduler.book import Book
from scheduler.forecast_runs import Floats, Work, in_order
from scheduler.rollout import StepState
from scheduler.service.exposure import SAFE, points

HOUR_S = 3600.0


def guest_hours_gone(book: Book, at_start: Mapping[str, str], now: datetime) -> float:
    """What the burn-down of guests encloses from the rollout's beginning to now, or its end."""
    counts = list(points(book, at_start, book.rollout.ended_at or now))
    return sum(a.guests * (b.at_s - a.at_s) for a, b in pairwise(counts)) / HOUR_S


def guests_now(book: Book, at_start: Mapping[str, str]) -> dict[str, str]:
    """Where each guest of the start is by what was moved since."""
    where = dict(at_start)
    moved = [
        (step.ended_at, step.guest, step.destination)
        for step in book.steps.values()
        if step.kind is Kind.MOVE and step.state is StepState.DONE and step.outcome == "moved"
        if step.ended_at and step.guest and step.destination
    ]
    where.update({guest: to for _, guest, to in sorted(moved)})
    return where


def guest_hours_ahead(
    book: Book,
    at_start: Mapping[str, str],
    works: Sequence[Work],
    found: Mapping[str, Floats],
    last: Floats,
) -> float:
    """Mean over the runs, from now until the last step ends.

    A guest is exposed while the host that it is on is: until it moves on, or the host is safe.
    """
    safe_at: dict[str, Floats] = {
        name: np.zeros_like(last) if host.state in SAFE else last
        for name, host in book.hosts.items()
    }
    moves: dict[str, list[Work]] = {}
    for work in in_order(works):
        if work.kind in (Kind.REBOOT, Kind.LIVEPATCH):
            safe_at[work.host] = found[work.id]
        elif work.kind is Kind.MOVE:
            moves.setdefault(book.steps[work.id].guest or "", []).append(work)
    total = np.zeros_like(last)
    for guest, host in guests_now(book, at_start).items():
        since = np.zeros_like(last)
        for work in moves.get(guest, ()):
            total += np.maximum(np.minimum(found[work.id], safe_at.get(host, since)) - since, 0.0)
            since, host = found[work.id], work.destination or host
        total += np.maximum(safe_at.get(host, since) - since, 0.0)
    return float(total.mean()) / HOUR_S
