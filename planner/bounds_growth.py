"""A lower bound on the makespan from growth: what is back makes room for what comes next.

At any time t the guests of the hosts whose reboot has started stand on hosts that are back, on
hosts that need no reboot, or are parked on hosts still to be rebooted, which costs extra moves.
Few extra moves, so few hosts at first; each generation can only be as large as the room that the
one before gave back.

Measures. Give each guest a weight w of at most its memory: min(memory, m) for some m (a large m is
memory itself, a small one counts guests); or of its vCPUs alike; or 1. Let N(t) be the hosts
started by t, Used(t) the weight of their guests, Back(t) their room (C of `Part.back`). Then

    Used(t) <= parked weight + weight that fits on hosts without reboot + Back(t - R)

where e extra moves park at most e times the largest weight, and where one eviction from a host
without reboot costs two of them and makes room for its size. How much room comes with how much
weight is a fractional knapsack: Back(t) <= max{sum C y : sum w y <= Used(t), 0 <= y <= 1} and
N(t) alike; both are concave in Used(t). Reboots that start within R are at most W (hosts away, or
a gated wave), so N(t) <= N(t - R) + W, and before a gated first wave is back N is at most its size.

Ramps. With a the rate at which a host empties or fills, take averages over a window of length T:
X~(t) = mean of X over [t, t+T]. At time t a host with s_h > t has at most a (s_h - t) left, so at
least w_h (1 - (s_h - t)/T) of its weight has gone, if w_h >= a T; lighter hosts count as weight 0.
So what has gone by t is at least Used~(t). And a host that came back x ago has taken in at most
C min(1, x/T), if C >= a T (smaller ones count as a T), so what came in by t is at most the mean of
Back over [t-R-T, t-R], which is Back~(t-R-T). Knapsacks are concave, so they hold for means. This
makes each generation take R + T, and costs at most T once, as N~(t) = n says only N(t+T) >= n.
With T = 0 the shortest move's time takes its place.

Everything is evaluated on a grid of R/q. A value at k is an upper bound for all t below (k+1) R/q.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from planner.bounds_part import Floats, Part

_STEPS = 10_000
"""Steps through the grid; a bound that is not found by then is only known to be later."""

_NEAR = 1e-9
"""Relative slack for sums of floats: a bound may only err to the low side."""


class Knapsack:
    """max{sum v y : sum w y <= x, 0 <= y <= 1}: concave in x, evaluated by bisection."""

    def __init__(self, weights: Floats, values: Floats) -> None:
        free = weights <= 0
        self._least = float(values[free].sum())
        weights, values = weights[~free], values[~free]
        order = np.argsort(-(values / weights), kind="stable")
        self._weights = [0.0, *accumulate(weights[order].tolist())]
        self._values = [0.0, *accumulate(values[order].tolist())]

    def __call__(self, x: float) -> float:
        """The value that fits into x."""
        if x >= self._weights[-1]:
            return float(self._least + self._values[-1])
        if x <= 0:
            return self._least
        n = bisect.bisect_right(self._weights, x)
        share = (x - self._weights[n - 1]) / (self._weights[n] - self._weights[n - 1])
        step = self._values[n] - self._values[n - 1]
        return float(self._least + self._values[n - 1] + share * step)


@dataclass(frozen=True)
class _Measure:
    """One weighting of guests: its budget at the start, what comes in, and its knapsacks."""

    budget: float
    inflow: Callable[[Sequence[float]], float]
    count: Knapsack
    back: tuple[Knapsack, ...]


def growth_bound_s(part: Part, windows: int = 3) -> float:
    """The bound in seconds, the largest over windows of averaging."""
    together = min(part.started_together, _fit_together(part))
    if part.policy.reboot_s <= 0 or not len(part.move_s) or not together:
        return 0.0
    grid = min(40, max(8, _STEPS * together // (4 * part.n_hosts)))
    return max(_grow_s(part, together, window_s, grid) for window_s in _windows_s(part, windows))


def _fit_together(part: Part) -> int:
    """Hosts that the slack lets be empty at the same time, the smallest ones."""
    fit = part.n_hosts
    for hold, slack in zip(part.hold, part.slack, strict=True):
        fit = min(fit, int(np.searchsorted(np.cumsum(np.sort(hold)), slack, side="right")))
    return fit


def _windows_s(part: Part, windows: int) -> list[float]:
    """No window, and windows in which at least most hosts empty, from low quantiles."""
    inside = part.home >= 0
    used = np.bincount(
        part.home[inside], weights=part.size[0][inside].astype(float), minlength=part.n_hosts
    )
    rate = _rate(part, part.size[0].astype(float))
    if not np.isfinite(rate) or rate <= 0:
        return [0.0]
    shares = np.linspace(0.0, 0.3, windows)
    times = np.quantile(used[used > 0] / rate, shares) if (used > 0).any() else np.zeros(1)
    return sorted({0.0, *np.minimum(times, part.policy.reboot_s).tolist()})


def _rate(part: Part, weights: Floats) -> float:
    """The most weight that leaves or enters one host in a second."""
    streams = max(part.policy.max_moves_out_per_host, part.policy.max_moves_in_per_host)
    heavy = weights > 0
    if not heavy.any():
        return 0.0
    with np.errstate(divide="ignore"):
        return float((weights[heavy] / part.move_s[heavy]).max()) * streams


def _grow_s(part: Part, together: int, window_s: float, grid: int) -> float:
    """Step through the grid until all hosts can have started; R after that is the bound."""
    reboot_s = part.policy.reboot_s
    step_s = reboot_s / grid
    wait_s = window_s if window_s > 0 else float(part.move_s.min())
    delay = grid + int(wait_s / step_s)
    lead = int(window_s / step_s) + 1
    rows = _rows(part, window_s)
    measures = _measures(part, window_s, rows)
    most = [Knapsack(np.ones(part.n_hosts), row) for row in rows]
    allowed = _allowed(part, window_s, step_s)
    goal = part.n_hosts * (1 - _NEAR)
    n_hosts: list[float] = []
    back: list[list[float]] = []
    for k in range(-lead, _STEPS):
        early = part.first_s >= (k + 1 - grid) * step_s
        past = k + lead - delay
        came = back[past] if past >= 0 and not early else [0.0] * len(part.back)
        used = [0.0 if k < 0 else m.budget + m.inflow(came) for m in measures]
        before = n_hosts[k + lead - grid] if k + lead >= grid else 0.0
        count = min(m.count(u) for m, u in zip(measures, used, strict=True))
        count = min(count, before + together, allowed(k))
        if k >= 0 and count >= goal:
            return k * step_s + reboot_s
        n_hosts.append(count)
        back.append(_back(measures, used, most, count))
    return _STEPS * step_s + reboot_s


def _back(
    measures: Sequence[_Measure], used: Sequence[float], most: Sequence[Knapsack], count: float
) -> list[float]:
    """Per resource the room that can be back a reboot later."""
    return [
        min(most[r](count), *(m.back[r](u) for m, u in zip(measures, used, strict=True)))
        for r in range(len(most))
    ]


def _allowed(part: Part, window_s: float, step_s: float) -> Callable[[int], float]:
    """Mean over a window of the hosts that can have started by their own drain and the gate."""
    ready = np.sort(part.before_s).tolist()
    gate_s = part.gate_s

    def by(t: float) -> float:
        hosts = bisect.bisect_right(ready, t)
        return min(hosts, part.canary_hosts) if part.canary_hosts and t < gate_s else hosts

    def allowed(k: int) -> float:
        # `by` only grows: the mean of its values at the ends of short pieces is above its mean.
        start_s = (k + 1) * step_s
        pieces = 8 if window_s > 0 else 1
        return sum(by(start_s + window_s * n / pieces) for n in range(1, pieces + 1)) / pieces

    return allowed


def _rows(part: Part, window_s: float) -> list[Floats]:
    """Per resource the hosts' room; none counts as less than it takes in during a window."""
    if window_s <= 0:
        return [row.astype(float) for row in part.back]
    return [
        np.maximum(row, _rate(part, size.astype(float)) * window_s)
        for row, size in zip(part.back, part.size, strict=True)
    ]


def _measures(part: Part, window_s: float, rows: Sequence[Floats]) -> list[_Measure]:
    measures = [_counting(part, window_s, rows)]
    for resource in range(len(part.size)):
        sizes = part.size[resource][part.size[resource] > 0]
        if not len(sizes):
            continue
        tops = np.unique(np.quantile(sizes, [0.1, 0.3, 0.5, 0.7, 0.9, 1.0], method="higher"))
        measures += [_sized(part, window_s, rows, resource, int(top)) for top in tops]
    return measures


def _sized(
    part: Part, window_s: float, rows: Sequence[Floats], resource: int, top: int
) -> _Measure:
    """Sizes cut at `top`: the cut size of guests never exceeds the room that they take."""
    weights = np.minimum(part.size[resource], top).astype(float)
    evicted = _evicted(part, resource)
    parked = max(
        top * (part.extra - 2 * pairs) + size
        for pairs, size in enumerate(evicted[: part.extra // 2 + 1])
    )

    def inflow(came: Sequence[float]) -> float:
        return came[resource] * (1 + _NEAR)

    return _Measure(
        float(parked) + float(part.free[resource]),
        inflow,
        *_knapsacks(part, weights, window_s, rows),
    )


def _counting(part: Part, window_s: float, rows: Sequence[Floats]) -> _Measure:
    """Every guest weighs 1; so many of the smallest fit into room."""
    sizes = np.sort(part.size[0]).astype(float)
    fits = Knapsack(sizes, np.ones(len(sizes)))
    evicted = _evicted(part, 0)
    room = float(part.free[0] + evicted[min(len(evicted) - 1, part.extra // 2)])

    def inflow(came: Sequence[float]) -> float:
        return fits(room + came[0] * (1 + _NEAR))

    ones = np.ones(len(sizes))
    return _Measure(float(part.extra), inflow, *_knapsacks(part, ones, window_s, rows))


def _evicted(part: Part, resource: int) -> list[int]:
    """Sizes of 0, 1, 2 … of the largest guests on hosts without reboot together."""
    stay = np.sort(part.size[resource][part.home < 0])[::-1]
    return [0, *np.cumsum(stay).tolist()]


def _knapsacks(
    part: Part, weights: Floats, window_s: float, rows: Sequence[Floats]
) -> tuple[Knapsack, tuple[Knapsack, ...]]:
    """Hosts and room by weight; hosts too light for the window weigh nothing."""
    inside = part.home >= 0
    used = np.zeros(part.n_hosts)
    np.add.at(used, part.home[inside], weights[inside])
    if window_s > 0:
        used = np.where(used >= _rate(part, weights) * window_s * (1 - _NEAR), used, 0.0)
    return Knapsack(used, np.ones(part.n_hosts)), tuple(Knapsack(used, row) for row in rows)
