"""Exact sums over the binomial distribution, for small counts. Pure, standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable

BISECTIONS = 200
"""More than enough for two floats to meet."""


def log_term(k: int, n: int, p: float) -> float:
    """Logarithm of P(X = k) for X ~ Binomial(n, p), with 0 < p < 1."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)


def at_most(k: int, n: int, p: float) -> float:
    """P(X <= k), summed from its biggest term downwards on the side that has less of it."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    if k + 1 > (n + 1) * p:
        return 1.0 - _falling(n - k - 1, n, 1 - p)
    return _falling(k, n, p)


def at_least(k: int, n: int, p: float) -> float:
    """P(X >= k)."""
    return at_most(n - k, n, 1 - p)


def _falling(k: int, n: int, p: float) -> float:
    """P(X <= k) where the terms fall from k down to 0."""
    term, odds = 1.0, (1 - p) / p
    total = [term]
    for i in range(k, 0, -1):
        term *= i / (n - i + 1) * odds
        total.append(term)
        if term < 1e-18:
            break
    return math.exp(log_term(k, n, p)) * math.fsum(total)


def interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Clopper-Pearson interval of a proportion, k of n.

    It covers the truth with at least `confidence` at every n, which intervals from a normal
    approximation do not for a handful of crashes (Clopper, Pearson, Biometrika 26, 1934).
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else crossing(lambda p: at_least(k, n, p) - tail)
    high = 1.0 if k == n else crossing(lambda p: tail - at_most(k, n, p))
    return low, high


def crossing(rising: Callable[[float], float], low: float = 0.0, high: float = 1.0) -> float:
    """Where a rising function passes 0 between `low` and `high`; an end if it nowhere does."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return high


def percent(share: float) -> str:
    """A share of 1 as per cent, to two digits: `0.5`, `17`, `100`."""
    return f"{100 * share:.2g}" if share < 0.995 else "100"
