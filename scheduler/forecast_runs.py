"""Many possible ends of what is left of a rollout, all at once: an array over runs for every step.

List scheduling in the plan's order: a step starts when its needs have ended and a slot of each
limit that it is under is free. With times that are just as planned this gives the plan's own
times. Pure; chance comes in as a generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from agents.wire import Kind
from scheduler.forecast_speeds import Speeds

Floats = NDArray[np.float64]

FAR = 3.1
"""A step that runs for so many spreads longer than the middle one is stuck: see `_rest`."""


@dataclass(frozen=True)
class Work:
    """A step that has not ended. Times in seconds; `needs` are steps that have not ended either."""

    id: str
    kind: Kind
    host: str
    destination: str | None
    group: str | None
    needs: tuple[str, ...]
    planned_start_s: float
    planned_s: float
    ran_s: float | None = None  # None: it has not started
    not_before_s: float = 0.0


@dataclass(frozen=True)
class Ceilings:
    """Limits on what is under way at once."""

    moves_out: int
    moves_in: int
    away: int
    away_in_group: int | None = None


@dataclass(frozen=True)
class Chance:
    """What is drawn, and how often; the same seed gives the same runs."""

    seed: int
    runs: int
    backoff_s: float = 30.0
    max_tries: int = 3


def ends(
    works: Sequence[Work], ceilings: Ceilings, speeds: Speeds, chance: Chance, from_s: float = 0.0
) -> dict[str, Floats]:
    """When each step ends in each run, in seconds from now; nothing new starts before `from_s`.

    Needs that are not among `works` have ended.
    """
    order = in_order(works)
    lasts = _Lasting(speeds, chance)
    slots = _Slots(order, ceilings, chance.runs)
    found: dict[str, Floats] = {}
    for work in order:
        if work.ran_s is not None:
            found[work.id] = lasts.rest(work)
            slots.take(work, found[work.id])
            continue
        ready = np.full(chance.runs, max(from_s, work.not_before_s))
        for need in work.needs:
            if need in found:
                np.maximum(ready, found[need], out=ready)
        end = slots.free(work, ready) + lasts.whole(work)
        slots.take(work, end)
        found[work.id] = end
    return found


def in_order(works: Sequence[Work]) -> list[Work]:
    """What runs first, then the others: each after its needs, else in the plan's order."""
    running = [work for work in works if work.ran_s is not None]
    waiting = {work.id: work for work in works if work.ran_s is None}
    missing = {work.id: sum(n in waiting for n in work.needs) for work in waiting.values()}
    dependents: dict[str, list[str]] = {}
    for work in waiting.values():
        for need in work.needs:
            dependents.setdefault(need, []).append(work.id)
    heap = [_rank(work) for work in waiting.values() if not missing[work.id]]
    heapify(heap)
    order = running
    while heap:
        name = heappop(heap)[-1]
        order.append(waiting[name])
        for other in dependents.get(name, ()):
            missing[other] -= 1
            if not missing[other]:
                heappush(heap, _rank(waiting[other]))
    return order


def _rank(work: Work) -> tuple[float, int, str, str]:
    return (work.planned_start_s, len(work.id), work.id, work.id)


class _Lasting:
    """How long steps last, run by run."""

    def __init__(self, speeds: Speeds, chance: Chance) -> None:
        self._draw = np.random.default_rng(chance.seed)
        self._chance = chance
        self._speeds = speeds
        kinds = {kind: speeds.of(kind) for kind in Kind}
        # One doubt about the mean that all kinds without a measurement of their own share.
        self._means = {
            kind: one.mean + one.mean_error * self._draw.standard_normal(chance.runs)
            for kind, one in kinds.items()
        }

    def whole(self, work: Work) -> Floats:
        """A step from its order to its end, retries and their waiting included."""
        logs = self._means[work.kind] + self._spread(work) * self._normal()
        once: Floats = np.exp(logs) * work.planned_s
        if work.kind is not Kind.MOVE or not self._speeds.failing:
            return once
        more = self._draw.geometric(1 - self._speeds.failing, self._chance.runs) - 1
        more = np.minimum(more, self._chance.max_tries - 1)
        waits_s = self._chance.backoff_s * (2.0**more - 1)
        whole: Floats = once * (1 + more) + waits_s
        return whole

    def rest(self, work: Work) -> Floats:
        """What is left of a step that has run for a while: it is known not to have ended yet.

        What runs far longer than its kind does may run as long again: it is not just about to end.
        """
        ran_s, planned_s = work.ran_s or 0.0, max(work.planned_s, 1e-6)
        spread, chance = self._spread(work), self._draw.random(self._chance.runs)
        behind = np.log(max(ran_s, 1e-6) / planned_s) - self._means[work.kind]
        if spread <= 0:
            rest = np.exp(self._means[work.kind]) * planned_s - ran_s
            return np.where(rest > 0, rest, chance * ran_s)
        at = behind / spread
        # The upper tail beyond `at`, drawn by its inverse: P(z > x) = chance * P(z > at).
        z = _upper(chance * _tail(np.minimum(at, FAR)))
        total = np.exp(self._means[work.kind] + spread * z) * planned_s
        drawn: Floats = np.where(at < FAR, np.maximum(total - ran_s, 0.0), chance * ran_s)
        return drawn

    def _spread(self, work: Work) -> float:
        return self._speeds.of(work.kind).spread

    def _normal(self) -> Floats:
        return self._draw.standard_normal(self._chance.runs)


def _tail(x: Floats) -> Floats:
    """P(z > x) of a standard normal z (Abramowitz and Stegun 26.2.17, off by 7.5e-8 at most)."""
    t = 1 / (1 + 0.2316419 * np.abs(x))
    factors = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    upper = sum(b * t ** (n + 1) for n, b in enumerate(factors)) * density
    found: Floats = np.where(x >= 0, upper, 1 - upper)
    return found


def _upper(p: Floats) -> Floats:
    """The x with P(z > x) = p (Abramowitz and Stegun 26.2.23, off by 4.5e-4 at most)."""
    q = np.clip(np.minimum(p, 1 - p), 1e-12, 0.5)
    t = np.sqrt(-2 * np.log(q))
    below = 1 + 1.432788 * t + 0.189269 * t**2 + 0.001308 * t**3
    x = t - (2.515517 + 0.802853 * t + 0.010328 * t**2) / below
    found: Floats = np.where(p <= 0.5, x, -x)
    return found


class _Slots:
    """When the slots of every limit are free, run by run."""

    def __init__(self, works: Iterable[Work], ceilings: Ceilings, runs: int) -> None:
        counts: dict[tuple[str, str], int] = {}
        self._limits: Mapping[str, int | None] = {
            "out": ceilings.moves_out,
            "in": ceilings.moves_in,
            "away": ceilings.away,
            "group": ceilings.away_in_group,
        }
        for work in works:
            for name in self._names(work):
                counts[name] = counts.get(name, 0) + 1
        # No more slots than steps that could ever be in them.
        self._free = {
            name: np.zeros((min(count, self._limits[name[0]] or count), runs))
            for name, count in counts.items()
        }
        self._all = np.arange(runs)

    def _names(self, work: Work) -> list[tuple[str, str]]:
        if work.kind is Kind.MOVE:
            return [("out", work.host), ("in", work.destination or "")]
        if work.kind is not Kind.REBOOT:
            return []
        grouped = work.group is not None and self._limits["group"] is not None
        return [("away", ""), *([("group", work.group or "")] if grouped else [])]

    def free(self, work: Work, ready: Floats) -> Floats:
        """When it can start: when it is ready and a slot of each of its limits is free."""
        for name in self._names(work):
            np.maximum(ready, self._free[name].min(axis=0), out=ready)
        return ready

    def take(self, work: Work, end: Floats) -> None:
        """The slot of each of its limits that is free first is taken until then."""
        for name in self._names(work):
            free = self._free[name]
            free[free.argmin(axis=0), self._all] = end
