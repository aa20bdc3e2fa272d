"""Many possible ends of what is left of a rollout, all at once: an array over runs for every step.

List scheduling in the plan's order: a step starts when its needs have ended and a slot of each
limit that it is under is free. With times that are just as planned this gives the plan's own
times. Pure; chance comes in as a generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agents.wire import Kind
from scheduler.forecast_gates import Begins, Holding, WaveAhead
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
    wave: WaveAhead | None = None  # None: its wave holds it by nothing that takes time
    begins: Begins = Begins.NOTHING
    notice_s: float = 0.0
    told_after: str = ""


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
    order = _order(works, ceilings, speeds, from_s)
    lasts = _Lasting(speeds, chance)
    slots, held = _Slots(order, ceilings, chance.runs), Holding(chance.runs, from_s)
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
        start = held.until(work, slots.free(work, ready), found)
        held.begin(work, start)
        end = start + lasts.whole(work)
        slots.take(work, end)
        found[work.id] = end
    return found


def in_order(works: Sequence[Work]) -> list[Work]:
    """What runs first, then the others: each after its needs, else in the plan's order."""
    order = [work for work in works if work.ran_s is not None]
    waiting = _Waiting(works)
    heap = [_rank(work) for work in waiting.first()]
    heapify(heap)
    while heap:
        name = heappop(heap)[-1]
        order.append(waiting.works[name])
        for work in waiting.after(name):
            heappush(heap, _rank(work))
    return order


def _order(works: Sequence[Work], ceilings: Ceilings, speeds: Speeds, from_s: float) -> list[Work]:
    windows = any(work.wave and work.wave.times for work in works)
    return _by_time(works, ceilings, speeds, from_s) if windows else in_order(works)


def _by_time(
    works: Sequence[Work], ceilings: Ceilings, speeds: Speeds, from_s: float
) -> list[Work]:
    """The order in which steps start if each takes as long as one in the middle.

    A host that waits for a window stands behind what goes on meanwhile, whatever the plan's order:
    else it would keep its places at other hosts until then.
    """
    order = [work for work in works if work.ran_s is not None]
    slots, held = _Slots(works, ceilings, 1), Holding(1, from_s)
    found = {work.id: np.array([max(0.0, _middle_s(work, speeds))]) for work in order}
    for work in order:
        slots.take(work, found[work.id])
    waiting = _Waiting(works)
    heap = [(max(from_s, work.not_before_s), *_rank(work)) for work in waiting.first()]
    heapify(heap)
    while heap:
        at_s, planned_s, length, name = heappop(heap)
        work = waiting.works[name]
        start = held.until(work, slots.free(work, np.array([at_s])), found)
        if start[0] > at_s:  # others may start before
            heappush(heap, (float(start[0]), planned_s, length, name))
            continue
        held.begin(work, start)
        found[name] = start + _middle_s(work, speeds)
        slots.take(work, found[name])
        order.append(work)
        for other in waiting.after(name):
            ready_s = max(float(found[need][0]) for need in other.needs if need in found)
            heappush(heap, (max(ready_s, from_s, other.not_before_s), *_rank(other)))
    return order


def _middle_s(work: Work, speeds: Speeds) -> float:
    return float(np.exp(speeds.of(work.kind).mean)) * work.planned_s - (work.ran_s or 0.0)


class _Waiting:
    """Steps that have not started, and which of them can when others have ended."""

    def __init__(self, works: Iterable[Work]) -> None:
        self.works = {work.id: work for work in works if work.ran_s is None}
        self._missing = {w.id: sum(n in self.works for n in w.needs) for w in self.works.values()}
        self._dependents: dict[str, list[str]] = {}
        for work in self.works.values():
            for need in work.needs:
                self._dependents.setdefault(need, []).append(work.id)

    def first(self) -> list[Work]:
        """Those that wait for none of the others."""
        return [work for work in self.works.values() if not self._missing[work.id]]

    def after(self, name: str) -> Iterable[Work]:
        """Those that waited for this one last."""
        for other in self._dependents.get(name, ()):
            self._missing[other] -= 1
            if not self._missing[other]:
                yield self.works[other]


def _rank(work: Work) -> tuple[float, int, str]:
    return (work.planned_start_s, len(work.id), work.id)


class _Lasting:
    """How long steps last, run by run."""

    def __init__(self, speeds: Speeds, chance: Chance) -> None:
        self._draw = np.random.default_rng(chance.seed)
        self._chance = chance
        self._speeds = speeds
        # The doubt about each kind's mean, drawn for itself: a kind more changes no other's times.
        self._means = {kind: self._mean(kind) for kind in Kind}

    def _mean(self, kind: Kind) -> Floats:
        known = self._speeds.of(kind)
        draw = np.random.default_rng([self._chance.seed, crc32(kind.encode())])
        mean: Floats = known.mean + known.mean_error * draw.standard_normal(self._chance.runs)
        return mean

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
