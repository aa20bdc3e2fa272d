"""How to spend extra moves so that a rollout gets under way fast.

Room on hosts that wait for their reboot is of no use until a guest is parked there, which costs an
extra move. Two ways to spend one: empty a host at the very start, all its guests parked (a seed);
or park only the largest guests of a host and let the small ones go to the seeds when these are
back (a lift). A park of a large guest frees more room per extra move, but needs the seeds' room
for the rest. A look ahead by generations, on sums only, chooses how many of which.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

# Parks of guests this large are counted on only as far as so many holes take them.
_HOLES_USED = 0.8
_MOST_GENERATIONS = 200.0
_QUANTILES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True)
class Opening:
    """Hosts to empty first: `seeds` by parking every guest, `lifts` those of `large` and more.

    `generations` is the look-ahead's length of the whole rollout, in reboots after one another.
    """

    seeds: list[int]
    lifts: list[int]
    large: float
    generations: float


@dataclass(frozen=True)
class Ground:
    """What the look-ahead knows of one pool: sizes are shares of an average host.

    `hosts` wait for their reboot, `room` is what each has for guests once empty, `holes` what is
    free on it now. `sizes` are all their guests', `owner` the place in `hosts` of each.
    `open_room` is there from the start, on hosts that need no reboot; at most `away` hosts reboot
    at once.
    """

    hosts: Numbers
    room: Floats
    holes: Floats
    sizes: Floats
    owner: Numbers
    open_room: float
    away: int

    @cached_property
    def used(self) -> Floats:
        """What the movable guests of each host take."""
        return self.sum_by_host(self.sizes)

    @cached_property
    def counts(self) -> Floats:
        """How many guests each host has to lose."""
        return self.sum_by_host(np.ones(len(self.sizes)))

    def sum_by_host(self, weights: Floats) -> Floats:
        """The sum over each host's guests of something known per guest."""
        sums = np.bincount(self.owner, weights=weights, minlength=len(self.hosts))
        return sums.astype(np.float64)


def openings(ground: Ground, extra: int, seeds: int | None) -> list[Opening]:
    """The openings looked at, the most promising first; `seeds` fixes the number of seeds."""
    by_cost = np.argsort(ground.counts / ground.room, kind="stable")
    if seeds is not None:
        return [_look_ahead(ground, by_cost[:seeds], np.inf, extra)]
    paid = int(np.searchsorted(np.cumsum(ground.counts[by_cost]), extra, side="right"))
    numbers = {0, 1, 2, 3, *(paid * twelfths // 12 for twelfths in range(1, 13))}
    tried = [
        _look_ahead(ground, by_cost[:number], large, extra)
        for number in sorted(numbers)
        if number <= paid
        for large in [*_larges(ground), np.inf]
    ]
    return sorted(tried, key=lambda opening: opening.generations)


def _larges(ground: Ground) -> list[float]:
    if not len(ground.sizes):
        return []
    return sorted({float(size) for size in np.quantile(ground.sizes, _QUANTILES)})


def _look_ahead(ground: Ground, seeds: Numbers, large: float, extra: int) -> Opening:
    waits = np.ones(len(ground.hosts), dtype=np.bool_)
    waits[seeds] = False
    left = extra - float(ground.counts[seeds].sum())
    room = ground.open_room + float(ground.room[seeds].sum())
    lifts, room = _lifted(ground, waits, room, left, large)
    waits[lifts] = False
    generations = _rest(ground, np.flatnonzero(waits), lifts, room) + float(len(seeds) > 0)
    return Opening(ground.hosts[seeds].tolist(), ground.hosts[lifts].tolist(), large, generations)


def _lifted(
    ground: Ground, waits: NDArray[np.bool_], room: float, left: float, large: float
) -> tuple[Numbers, float]:
    """Hosts whose small guests fit into the room when the large ones are parked; room after."""
    if left <= 0 or large == np.inf or large <= 0 or room <= 0:
        return np.zeros(0, dtype=np.intp), room
    is_large = ground.sizes >= large
    parks = ground.sum_by_host(is_large.astype(np.float64))
    small = ground.sum_by_host(np.where(is_large, 0.0, ground.sizes))
    # What a host takes of both means, a park at the price of a guest that is just large.
    dearness = np.where(waits, (small + parks * large) / ground.room, np.inf)
    order = np.argsort(dearness, kind="stable")[: int(waits.sum())]
    holes = _HOLES_USED * float((ground.holes // large).sum())
    fits = (np.cumsum(parks[order]) <= min(left, holes)) & (np.cumsum(small[order]) <= room)
    chosen = order[: min(int(fits.sum()), ground.away)]
    return chosen, room - float(small[chosen].sum())


def _rest(ground: Ground, waiting: Numbers, lifts: Numbers, room: float) -> float:
    """Generations until all waiting hosts are done, when `lifts` are in the first with them."""
    order = waiting[np.argsort(ground.used[waiting] / ground.room[waiting], kind="stable")]
    needed = np.concatenate([[0.0], np.cumsum(ground.used[order])])
    brought = np.concatenate([[0.0], np.cumsum(ground.room[order])])
    done, busy, generations = 0, len(lifts), 0.0
    coming = float(ground.room[lifts].sum())
    while (done < len(order) or busy) and generations < _MOST_GENERATIONS:
        fits = int(np.searchsorted(needed, needed[done] + room + 1e-9, side="right")) - 1
        upto = max(done, min(fits, done + ground.away - busy))
        if upto == done and not busy:
            return _MOST_GENERATIONS
        room += coming + float(brought[upto] - brought[done] - needed[upto] + needed[done])
        generations += (upto - done + busy) / ground.away if upto == len(order) else 1.0
        done, busy, coming = upto, 0, 0.0
    return generations
