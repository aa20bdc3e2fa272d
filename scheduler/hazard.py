"""Do guests that were moved crash more often later than guests that were not? Pure.

Both groups are watched in guest-hours. Within a stratum (a kind of guest) crashes come as Poisson
events; given their number D in the stratum, those among moved guests are binomial:

    X ~ Binomial(D, r T1 / (r T1 + T0))

with T1, T0 the guest-hours and r the ratio of the two rates (the hazard ratio, for rates that do
not change with time). X summed over strata has a distribution in r alone, whatever the rates of
the strata are, so its exact tails give an exact interval, also for three crashes in all (Breslow,
Day: Statistical Methods in Cancer Research II, 1987, chapters 3.3 and 3.4). The estimate is the
conditional one: the r for which the expected X is the X seen.

An alarm may be looked for after every crash: look number m is given the share 6/(pi m)^2 of the
doubt, and all shares sum to one, so that the chance of ever giving a false alarm stays below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.binomial import crossing, log_term

WIDEST = 30.0
"""Ratios are looked for between exp(-30) and exp(30)."""

NOTHING = 1e-18


@dataclass(frozen=True)
class Stratum:
    """What was seen of one kind of guest: hours watched and crashes, moved and not moved."""

    kind: str
    moved_h: float
    moved_crashes: int
    other_h: float
    other_crashes: int

    @property
    def crashes(self) -> int:
        """Of both groups."""
        return self.moved_crashes + self.other_crashes

    def share(self, ratio: float) -> float:
        """The chance that a crash falls on a moved guest."""
        return ratio * self.moved_h / (ratio * self.moved_h + self.other_h)

    @property
    def tells(self) -> bool:
        """Whether it says anything: crashes, and both groups watched."""
        return self.crashes > 0 and self.moved_h > 0 and self.other_h > 0


@dataclass(frozen=True)
class Ratio:
    """The hazard ratio and its interval; None where the crashes do not tell."""

    estimate: float | None
    low: float
    high: float | None  # None: no upper bound
    confidence: float


def compare(strata: Sequence[Stratum], confidence: float = 0.95) -> Ratio:
    """The ratio over all strata that tell anything."""
    telling = [stratum for stratum in strata if stratum.tells]
    seen, total = sum(s.moved_crashes for s in telling), sum(s.crashes for s in telling)
    if not telling:
        return Ratio(None, 0.0, None, confidence)
    tail = (1 - confidence) / 2
    estimate = None if seen == total else math.exp(_estimate(telling, seen)) if seen else 0.0
    high = None if seen == total else math.exp(_high(telling, seen, tail))
    return Ratio(estimate, low_bound(telling, tail), high, confidence)


def low_bound(strata: Sequence[Stratum], tail: float) -> float:
    """The ratio below which as many crashes of moved guests have a chance of less than `tail`."""
    telling = [stratum for stratum in strata if stratum.tells]
    seen = sum(s.moved_crashes for s in telling)
    if not seen:
        return 0.0
    found = crossing(lambda r: math.fsum(_chances(telling, r)[seen:]) - tail, -WIDEST, WIDEST)
    return math.exp(found)


def alarm(strata: Sequence[Stratum], look: int, doubt: float = 0.05) -> bool:
    """Whether at this look (1, 2, …) the ratio lies above 1 beyond doubt, all looks together."""
    tail = doubt / 2 * 6 / (math.pi * look) ** 2
    return low_bound(strata, tail) > 1


def _high(strata: Sequence[Stratum], seen: int, tail: float) -> float:
    return crossing(lambda r: tail - math.fsum(_chances(strata, r)[: seen + 1]), -WIDEST, WIDEST)


def _estimate(strata: Sequence[Stratum], seen: int) -> float:
    def rising(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        return math.fsum(s.crashes * s.share(ratio) for s in strata) - seen

    return crossing(rising, -WIDEST, WIDEST)


def _chances(strata: Sequence[Stratum], log_ratio: float) -> list[float]:
    """P(X = 0), P(X = 1), … for X summed over the strata."""
    ratio, chances = math.exp(log_ratio), [1.0]
    for stratum in strata:
        share, n = stratum.share(ratio), stratum.crashes
        ours = [_term(k, n, share) for k in range(n + 1)]
        chances = _sum_of(chances, ours)
    return chances


def _term(k: int, n: int, share: float) -> float:
    if share <= 0 or share >= 1:  # beyond what a float can tell from a certainty
        return float(k == (n if share >= 1 else 0))
    return math.exp(log_term(k, n, share))


def _sum_of(one: Sequence[float], two: Sequence[float]) -> list[float]:
    """The distribution of the sum of two independent counts."""
    result = [0.0] * (len(one) + len(two) - 1)
    heavy = [(j, b) for j, b in enumerate(two) if b > NOTHING]
    for i, a in enumerate(one):
        if a > NOTHING:
            for j, b in heavy:
                result[i + j] += a * b
    return result
