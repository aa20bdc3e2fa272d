"""The fewest migrations that any plan needs, proven.

The argument. Call a host old until its own reboot starts, if this rollout has to reboot it. Every
movable guest on an old host leaves it, and so does every guest that was sent there, so

    migrations = guests on hosts to reboot + moves onto old hosts + moves off other hosts,

and what is left is to bound the extra: the two last terms. A guest that stands on an old host
which is not its own ("parked") has cost one extra move at least; a guest of a host that needs no
reboot which stands on an old host has cost two; a rebooted host never sends to an old one.

Take hosts A that are being or have been rebooted when host h starts to reboot. All guests of A, of
h and of the hosts that need no reboot are then somewhere: on rebooted hosts, on hosts that need no
reboot, or parked. What does not fit on the first two is parked:

    parked memory >= u_h - room,   room = free on hosts without reboot + sum over A of (C - u)

with u a host's movable memory and C its room for movable guests. So with e extra moves, h can
follow A only if that many of the largest guests of A and h make up for u_h - room. The closure
grows the set of hosts for a given e until no host can follow; it only ever gets larger with more
hosts and with larger e. If it does not reach all hosts with e, then no plan has only e extra
moves: the first host outside that it reboots contradicts it. The same holds for vCPUs.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from planner.arrays import Ints
from planner.bounds_view import Numbers, View, views

EXACT_LOOKS = 64_000
"""How often a host's own guests are looked at before all waiting hosts' are taken together."""

KEPT = 128
"""So many largest guests are known by size; beyond them the last one's size is assumed."""

NEVER = 10**9
"""More moves than any plan has: what no number of parked guests makes room for."""


def extra_moves_bound(numbers: Numbers, component: View) -> int:
    """Migrations that every plan spends in the component above one for each guest to evacuate."""
    return max(
        _extra(numbers, view, resource)
        for view in views(numbers, component)
        for resource in range(len(numbers.size))
    )


@dataclass
class _Closure:
    """Hosts that can be rebooted with `spent` extra moves, growing one by one.

    `room` is what hosts without reboot and reached hosts can take beyond their own guests;
    `own` the guests of each host, largest first; `gain` what its reboot adds to the room;
    `single` and `double` the largest guests that park for one extra move, and for two.
    """

    room: int
    used: list[int]
    gain: list[int]
    own: list[list[int]]
    single: list[int]
    double: list[int]
    waiting: list[int]
    spent: int = 0

    def short(self, host: int) -> int:
        """What has to be parked before this host can be empty."""
        return self.used[host] - self.room

    def cost(self, host: int | None, short: int) -> int:
        """Extra moves that it takes at least to park this much, from `host`'s guests too."""
        endless = self.single[-1] if len(self.single) >= KEPT else 0
        ones = self.single
        if host is not None:
            own = (size for size in self.own[host] if size > endless)
            ones = list(heapq.merge(ones, own, reverse=True))
        return _fewest(ones, endless, self.double, short)

    def reach(self, host: int) -> None:
        """Count a host as rebooted: its room is there, its guests may stand parked."""
        self.room += self.gain[host]
        own = self.own[host]
        if len(self.single) < KEPT or (own and own[0] > self.single[-1]):
            self.single = heapq.nlargest(KEPT, [*self.single, *own])


def _fewest(ones: list[int], endless: int, twos: list[int], short: int) -> int:
    """Fewest moves that park `short`, guests of `ones` for one each, of `twos` for two each."""
    best = _count(ones, endless, short)
    if len(twos) >= KEPT:
        best = min(best, 2 * KEPT)
    held = 0
    for pairs, size in enumerate(twos, start=1):
        held += size
        if 2 * pairs >= best:
            break
        best = min(best, 2 * pairs + _count(ones, endless, short - held))
    return best


def _count(sizes: list[int], endless: int, short: int) -> int:
    """How many of the sizes, largest first and then any of size `endless`, make up `short`."""
    for taken, size in enumerate(sizes):
        if short <= 0:
            return taken
        short -= size
    if short <= 0:
        return len(sizes)
    return len(sizes) + -(-short // endless) if endless else NEVER


def _extra(numbers: Numbers, view: View, resource: int) -> int:
    closure = _start(numbers, view, resource)
    looks = EXACT_LOOKS
    while closure.waiting and closure.short(closure.waiting[-1]) > 0:
        if _grow(closure):
            continue
        if looks > 0:
            looks -= len(closure.waiting)
            _reach_cheapest(closure)
        else:
            _reach_relaxed(closure)
    return closure.spent


def _grow(closure: _Closure) -> bool:
    """Reach each host that follows without a look at its own guests; waiting is sorted by use."""
    reached = 0
    for host in closure.waiting:
        short = closure.short(host)
        if short > 0 and closure.cost(None, short) > closure.spent:
            break
        closure.reach(host)
        reached += 1
    del closure.waiting[:reached]
    return reached > 0


def _reach_cheapest(closure: _Closure) -> None:
    """Reach the host that follows for the fewest extra moves, and count them as spent."""
    best, place = NEVER + 1, 0
    largest = max([*closure.single[:1], *closure.double[:1], 1])
    for n, host in enumerate(closure.waiting):
        short = closure.short(host)
        if -(-short // max(largest, closure.own[host][0])) >= best:
            continue
        cost = closure.cost(host, short)
        if cost < best:
            best, place = cost, n
    closure.spent = max(closure.spent, best)
    closure.reach(closure.waiting.pop(place))


def _reach_relaxed(closure: _Closure) -> None:
    """As if every waiting host's guests could stand parked already: the least used follows."""
    everyone = [size for host in closure.waiting for size in closure.own[host]]
    closure.single = heapq.nlargest(KEPT, [*closure.single, *everyone])
    host = closure.waiting[0]
    closure.spent = max(closure.spent, closure.cost(None, closure.short(host)))
    closure.reach(closure.waiting.pop(0))


def _start(numbers: Numbers, view: View, resource: int) -> _Closure:
    """Nothing rebooted yet: the hosts to reboot wait, by what their guests take."""
    must = numbers.must[view.hosts]
    size = numbers.size[resource]
    take, pin = numbers.take[resource], numbers.pin[resource]
    others = view.hosts[~must]
    free = np.maximum(take[others] - numbers.used[resource][others], 0).sum()
    home = numbers.host[view.guests]
    old = view.hosts[must]
    own = _sizes_by_host(size[view.guests], home, old)
    used = [sum(sizes) for sizes in own]
    gain = [max(0, max(0, int(c)) - u) for c, u in zip(take[old] - pin[old], used, strict=True)]
    return _Closure(
        room=int(free),
        used=used,
        gain=gain,
        own=own,
        single=_largest(size[view.strangers]),
        double=_largest(size[view.guests[~numbers.must[home]]]),
        waiting=sorted(range(len(used)), key=used.__getitem__),
    )


def _largest(sizes: Ints) -> list[int]:
    return heapq.nlargest(KEPT, sizes.tolist())


def _sizes_by_host(sizes: Ints, home: Ints, hosts: Ints) -> list[list[int]]:
    """Per host of `hosts` (ascending) the sizes of its guests, largest first."""
    own: list[list[int]] = [[] for _ in hosts]
    place = np.searchsorted(hosts, home)
    there = np.isin(home, hosts)
    order = np.argsort(-sizes[there], kind="stable")
    for size, host in zip(sizes[there][order].tolist(), place[there][order].tolist(), strict=True):
        own[host].append(size)
    return own
