"""What the service shows, read from the store at most once a second however many people look.

A view is never changed once it is handed out: a reader on another thread can keep it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from scheduler.book import Book
from scheduler.flight_reports import flights_now
from scheduler.progress import Progress, progress
from scheduler.service.book_reader import BookReader
from scheduler.service.exposure import Curve, curve, guests_at_start
from scheduler.service.fleet_reader import Clock, FleetReader, FleetView
from scheduler.service.fresh import Fresh
from scheduler.store import NoRollout, Store

KEPT_ROLLOUTS = 32


@dataclass(frozen=True)
class RolloutView:
    """A rollout at one version. `book` is only read."""

    book: Book
    progress: Progress
    curve: Curve
    blocked: dict[str, list[tuple[str, str]]]  # host -> (guest or "", why), by the newest plan
    planning_s: float | None  # of the newest plan
    at: datetime


class Views:
    """Hands out views; safe to call from any thread."""

    def __init__(self, store: Store, clock: Clock, max_age_s: float = 1.0) -> None:
        self._store = store
        self._clock = clock
        self.max_age_s = max_age_s
        self._lock = threading.Lock()
        self._rollouts: dict[str, Fresh[RolloutView]] = {}
        self._fleet = Fresh(FleetReader(store, clock).read, clock.monotonic, max_age_s)

    def fleet(self) -> FleetView:
        """The fleet as it was reported last. Without an inventory it has no hosts."""
        return self._fleet.get()

    def rollout(self, rollout_id: str) -> RolloutView:
        """One rollout. Raises NoRollout."""
        return self._kept(rollout_id).get()

    def _kept(self, rollout_id: str) -> Fresh[RolloutView]:
        with self._lock:
            kept = self._rollouts.pop(rollout_id, None)
            if kept is None:
                if rollout_id not in self._store.ids():
                    raise NoRollout(rollout_id)
                kept = Fresh(self._reader(rollout_id), self._clock.monotonic, self.max_age_s)
            self._rollouts[rollout_id] = kept  # the newest asked for is last
            while len(self._rollouts) > KEPT_ROLLOUTS:
                del self._rollouts[next(iter(self._rollouts))]
        return kept

    def _reader(self, rollout_id: str) -> Callable[[RolloutView | None], RolloutView]:
        at_start: list[dict[str, str]] = []
        books = BookReader(self._store, rollout_id)

        def read(before: RolloutView | None) -> RolloutView:
            now = self._clock.now()
            book = books.read()
            if not at_start:
                at_start.append(guests_at_start(self._store.fleet_document(rollout_id, 1)))
            if before and before.book.rollout.generation == book.rollout.generation:
                blocked, took_s = before.blocked, before.planning_s
            else:
                plan = self._store.plan_document(rollout_id, book.rollout.generation)
                blocked, took_s = blocked_by(plan)
            burned = curve(book, at_start[0], now)
            flown = flights_now(self._store.client, book)
            return RolloutView(book, progress(book, now, flown), burned, blocked, took_s, now)

        return read


def blocked_by(plan: bytes | None) -> tuple[dict[str, list[tuple[str, str]]], float | None]:
    """Why a plan leaves hosts out (host -> (guest or "", reason)), and how long it took to make."""
    if plan is None:
        return {}, None
    said = json.loads(plan)
    rows = {
        row["host"]: [(why["guest"] or "", why["reason"]) for why in row["reasons"]]
        for row in said["blocked"]
    }
    return rows, float(said["summary"]["planning_s"])


__all__ = ["Clock", "FleetView", "RolloutView", "Views", "blocked_by"]
