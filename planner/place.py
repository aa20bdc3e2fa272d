"""Where the guests of one host go, and roughly when: the inner step of growing a plan.

The times here are an estimate that guides choices (`planner.schedule` sets the real ones): every
host has as many inbound slots as the policy allows, free from its return on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

import numpy as np
from numpy.typing import NDArray

from planner.arrays import Arrays, Bools, Ints
from planner.state import State

Floats = NDArray[np.float64]

# Seconds that no plan lasts: what costs so much is taken only where nothing else is left.
_LAST_RESORT = 1e12


@dataclass(frozen=True, slots=True)
class Placement:
    """Destinations for all guests of a host; `parked` of them go to a host still to reboot."""

    host: int
    moves: list[tuple[int, int, float]]
    """Guest, destination, estimated end in seconds."""
    parked: int
    drained_s: float


class Inbound:
    """When each host is open, and can next take a move in, in seconds."""

    def __init__(self, arrays: Arrays) -> None:
        self._slots = arrays.policy.max_moves_in_per_host
        self._busy: dict[int, list[float]] = {}
        self.next_s: Floats = np.zeros(len(arrays.hosts))
        self.open_s: Floats = np.zeros(len(arrays.hosts))

    def open_from(self, host: int, time_s: float) -> None:
        """The host takes nothing in before this time."""
        self._busy.pop(host, None)
        self.next_s[host] = time_s
        self.open_s[host] = time_s

    def slots(self, host: int) -> list[float]:
        """A copy, as a heap, of when each of the host's slots is free."""
        busy = self._busy.get(host)
        # A limit of many thousands must not cost a list of that length per host.
        return list(busy) if busy else [float(self.next_s[host])] * min(self._slots, 64)

    def book(self, host: int, end_s: float) -> None:
        """The first of the host's slots to be free is busy until `end_s`."""
        busy = self._busy.setdefault(host, self.slots(host))
        heapreplace(busy, end_s)
        self.next_s[host] = busy[0]


@dataclass(frozen=True, slots=True)
class Weights:
    """What guests weigh, and how dear it is to leave a host's room half used.

    `mib` and `vcpus` turn room into shares of an average host, the scarcer the heavier. A
    destination that leaves a share x of a host unused counts as if it started `fit_s` times x
    seconds later; one that suits a share x of all guests, `rare_s` times x seconds later.
    """

    mib: float
    vcpus: float
    fit_s: float
    rare_s: float = 0.0


def weights_of(arrays: Arrays, fit_s: float, rare_s: float = 0.0) -> Weights:
    """Weights by how full the fleet is in each resource."""
    mib, vcpus = sum(arrays.limit_mib), sum(arrays.limit_vcpus)
    fill_mib = sum(arrays.guest_mib) / mib if mib else 0.0
    fill_vcpus = sum(arrays.guest_vcpus) / vcpus if vcpus else 0.0
    fullest = max(fill_mib, fill_vcpus) or 1.0
    n_hosts = len(arrays.hosts)
    return Weights(
        mib=(fill_mib / fullest) ** 2 * n_hosts / mib if mib else 0.0,
        vcpus=(fill_vcpus / fullest) ** 2 * n_hosts / vcpus if vcpus else 0.0,
        fit_s=fit_s,
        rare_s=rare_s,
    )


def welcome(arrays: Arrays) -> Floats:
    """Per host: the share of its pool's guests that it suits by tags and Xen version."""
    counts: dict[tuple[int, int], int] = {}
    for guest, host in enumerate(arrays.guest_host):
        kind = arrays.guest_reach[guest], arrays.level_now[host]
        counts[kind] = counts.get(kind, 0) + 1
    level = np.maximum(arrays.level_now, arrays.level_after)
    suited = np.zeros(len(arrays.hosts))
    for (reach, lowest), number in counts.items():
        suited += number * (arrays.reaches[reach] & (level >= lowest))
    in_pool = [0] * len(arrays.pool_slices)
    for host in arrays.guest_host:
        in_pool[arrays.host_pool[host]] += 1
    share: Floats = suited / np.array([max(1, in_pool[pool]) for pool in arrays.host_pool])
    return share


@dataclass(frozen=True, slots=True)
class Parking:
    """Hosts still to reboot that may take guests in passing, which costs an extra move each.

    Guests of size `first_from` and more go there rather than to an open host; those of
    `else_from` and more only where no open host takes them.
    """

    hosts: Bools
    first_from: float = math.inf
    else_from: float = 0.0


class Placer:
    """Places the guests of a host, all or none, without changing the state."""

    def __init__(self, state: State, inbound: Inbound, weights: Weights) -> None:
        self.state = state
        self.inbound = inbound
        self.weights = weights
        arrays = state.arrays
        rare_s = weights.rare_s
        self.welcome_s: Floats | None = welcome(arrays) * rare_s if rare_s else None
        self.sizes = [
            mib * weights.mib + vcpus * weights.vcpus
            for mib, vcpus in zip(arrays.guest_mib, arrays.guest_vcpus, strict=True)
        ]

    def place(
        self,
        host: int,
        from_s: float,
        parking: Parking | None = None,
        open_by_s: float = math.inf,
        wanted: Mapping[int, int] | None = None,
    ) -> Placement | None:
        """Destinations for the guests of a host, none before `from_s`, or None if they don't fit.

        Guests go to hosts that are open by `open_by_s`, or to `parking` as far as it says; those
        in `wanted` to the host that it names, where that is possible.
        """
        state = self.state
        guests = sorted(state.movable(host), key=self.sizes.__getitem__, reverse=True)
        if not guests:
            return Placement(host, [], 0, from_s)
        is_open = state.is_open if open_by_s == math.inf else self._open_by(open_by_s)
        targets = _Targets(self, host, guests, is_open, parking)
        if parking is None and not targets.can_hold_all(guests):
            return None
        out = [from_s] * min(state.arrays.policy.max_moves_out_per_host, len(guests))
        moves, parked = [], 0
        for guest in guests:
            start_s = heappop(out)
            chosen = targets.take(guest, start_s, wanted.get(guest) if wanted else None)
            if chosen is None:
                return None
            destination, end_s, is_parked = chosen
            moves.append((guest, destination, end_s))
            parked += is_parked
            out.append(end_s)
            heapify(out)
        return Placement(host, moves, parked, max(end_s for _, _, end_s in moves))

    def _open_by(self, time_s: float) -> Bools:
        is_open: Bools = self.state.is_open & (self.inbound.open_s <= time_s)
        return is_open


class _Targets:
    """A private copy of the room on the hosts that may take guests of one host."""

    def __init__(
        self, placer: Placer, host: int, guests: list[int], is_open: Bools, parking: Parking | None
    ) -> None:
        state = self._state = placer.state
        arrays = state.arrays
        weights = placer.weights
        self._fit_s = weights.fit_s
        part = arrays.pool_slices[arrays.host_pool[host]]
        least_mib = min(arrays.guest_mib[guest] for guest in guests)
        least_vcpus = min(arrays.guest_vcpus[guest] for guest in guests)
        usable = is_open[part] if parking is None else is_open[part] | parking.hosts[part]
        usable = usable & (state.free_mib[part] >= least_mib)
        usable &= state.free_vcpus[part] >= least_vcpus
        self.hosts: Ints = np.flatnonzero(usable) + part.start
        self.hosts = self.hosts[self.hosts != host]
        self._mib = state.free_mib[self.hosts]
        self._vcpus = state.free_vcpus[self.hosts]
        # What stays unused, at its price in seconds; a guest takes the same off wherever it goes.
        self._left = self._mib * (weights.mib * weights.fit_s)
        self._left += self._vcpus * (weights.vcpus * weights.fit_s)
        if placer.welcome_s is not None:
            self._left += placer.welcome_s[self.hosts]
        self._next_s = placer.inbound.next_s[self.hosts]
        self._parking = parking
        self._is_park = None if parking is None else parking.hosts[self.hosts]
        self._sizes = placer.sizes
        self._taken: dict[int, list[float]] = {}
        self._names: dict[int, set[int]] = {}
        self._inbound = placer.inbound
        self._suits: dict[tuple[int, int], Bools | None] = {}

    def can_hold_all(self, guests: list[int]) -> bool:
        """Whether the room in sum, and the largest hole, do not forbid it at once."""
        arrays = self._state.arrays
        if not len(self.hosts):
            return False
        mib = [arrays.guest_mib[guest] for guest in guests]
        vcpus = [arrays.guest_vcpus[guest] for guest in guests]
        return bool(
            sum(mib) <= self._mib.sum()
            and sum(vcpus) <= self._vcpus.sum()
            and max(mib) <= self._mib.max()
            and max(vcpus) <= self._vcpus.max()
        )

    def take(
        self, guest: int, from_s: float, wanted: int | None = None
    ) -> tuple[int, float, bool] | None:
        """Book the best destination: its number, the end of the move, whether it is a park."""
        fits = self._fits(guest)
        starts = np.maximum(self._next_s, from_s)
        if wanted is not None and (fits & (self.hosts == wanted)).any():
            return self._taken_at(int((self.hosts == wanted).argmax()), guest, starts)
        cost = starts + self._left
        if self._parking is not None and self._is_park is not None:
            size = self._sizes[guest]
            if size >= self._parking.first_from:
                cost += ~self._is_park * _LAST_RESORT
            elif size >= self._parking.else_from:
                cost += self._is_park * _LAST_RESORT
            else:
                fits &= ~self._is_park
        cost = np.where(fits, cost, np.inf)
        at = int(cost.argmin()) if len(cost) else -1
        if at < 0 or cost[at] == np.inf:
            return None
        return self._taken_at(at, guest, starts)

    def _taken_at(self, at: int, guest: int, starts: Floats) -> tuple[int, float, bool]:
        end_s = float(starts[at]) + self._state.arrays.guest_move_s[guest]
        self._book(at, guest, end_s)
        is_park = self._is_park is not None and bool(self._is_park[at])
        return int(self.hosts[at]), end_s, is_park

    def _fits(self, guest: int) -> Bools:
        arrays = self._state.arrays
        fits: Bools = self._mib >= arrays.guest_mib[guest]
        fits &= self._vcpus >= arrays.guest_vcpus[guest]
        suits = self._suiting(guest)
        if suits is not None:
            fits &= suits
        for name in arrays.guest_apart[guest]:
            for host in self._names.get(name, set()) | self._state.apart_on.get(name, {}).keys():
                fits &= self.hosts != host
        return fits

    def _suiting(self, guest: int) -> Bools | None:
        """The part of fitting that is the same for all guests of one reach; None: no limit."""
        state, reach = self._state, self._state.arrays.guest_reach[guest]
        level = int(state.level[state.guest_at[guest]])
        if (reach, level) not in self._suits:
            suits = state.arrays.reaches[reach][self.hosts] & (state.level[self.hosts] >= level)
            self._suits[reach, level] = None if suits.all() else suits
        return self._suits[reach, level]

    def _book(self, at: int, guest: int, end_s: float) -> None:
        arrays = self._state.arrays
        self._mib[at] -= arrays.guest_mib[guest]
        self._vcpus[at] -= arrays.guest_vcpus[guest]
        self._left[at] -= self._sizes[guest] * self._fit_s
        busy = self._taken.get(at)
        if busy is None:
            busy = self._taken[at] = self._inbound.slots(int(self.hosts[at]))
        heapreplace(busy, end_s)
        self._next_s[at] = busy[0]
        for name in arrays.guest_apart[guest]:
            self._names.setdefault(name, set()).add(int(self.hosts[at]))
