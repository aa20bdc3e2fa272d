"""What the bounds look at: closed sets of hosts, and the guests that cannot leave them.

A component is a set of hosts that no guest can leave: guests move only within a pool and only
where their needs are offered. Bounds of different components add up. A view is a part of a
component: some guests, and the only hosts where they can ever stand (a CPU level, a storage, a
Xen version). What has to happen to a view's guests has to happen in the whole, so the largest
bound over a component's views holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner.arrays import MOVE, Arrays, Bools, Ints


@dataclass(frozen=True)
class Numbers:
    """The whole fleet in numpy arrays, with what a bound may be told: the blocked hosts.

    Rows of `size` (per guest), `limit` and `take` (per host) are the resources: memory in MiB,
    then vCPUs. `take` is what a host may hold when a move comes in, `pin` what the guests take
    that never leave the host, `used` what all guests take. `must`: the host has to be rebooted.
    """

    arrays: Arrays
    must: Bools
    moves: Bools
    host: Ints
    size: Ints
    take: Ints
    pin: Ints
    used: Ints

    @cached_property
    def components(self) -> list[View]:
        """The closed parts of the fleet with something to reboot, each with its movable guests."""
        return _components(self)


@dataclass(frozen=True)
class View:
    """Hosts, and guests that cannot leave them (as numbers of hosts and guests).

    `strangers` are movable guests on the view's other hosts (those that are not to be rebooted)
    which may go elsewhere: evicting one makes room for the view's guests.
    """

    hosts: Ints
    guests: Ints
    strangers: Ints


def numbers_of(arrays: Arrays, blocked: Collection[int] = ()) -> Numbers:
    """The arrays that every bound shares; `blocked` are hosts that will not be rebooted."""
    n_hosts = len(arrays.hosts)
    must = np.array(arrays.reboot, dtype=np.bool_) & ~np.array(arrays.held, dtype=np.bool_)
    must[list(blocked)] = False
    host = np.array(arrays.guest_host, dtype=np.int64)
    size = np.array([arrays.guest_mib, arrays.guest_vcpus], dtype=np.int64)
    moves = np.array(arrays.guest_kind, dtype=np.int64) == MOVE
    take = np.array([arrays.take_mib, arrays.limit_vcpus], dtype=np.int64)
    used = np.array([_sums(host, row, n_hosts) for row in size], dtype=np.int64)
    pin = np.array([_sums(host, row * ~moves, n_hosts) for row in size], dtype=np.int64)
    return Numbers(arrays, must, moves, host, size, take, pin, used)


def _sums(host: Ints, values: Ints, n_hosts: int) -> Ints:
    sums = np.zeros(n_hosts, dtype=np.int64)
    np.add.at(sums, host, values)
    return sums


def _components(numbers: Numbers) -> list[View]:
    label = _labels(numbers)
    guests = np.flatnonzero(numbers.moves)
    guests_by = _split(guests, label[numbers.host[guests]])
    nothing = np.empty(0, dtype=np.int64)
    return [
        View(hosts, guests_by.get(key, nothing), nothing)
        for key, hosts in _split(np.arange(len(label)), label).items()
        if numbers.must[hosts].any()
    ]


def _labels(numbers: Numbers) -> Ints:
    """A number for each host, the same where some movable guest can stand on both."""
    # Imported here: agents and whoever only reads a plan file do not pay for it.
    import networkx

    graph: networkx.Graph[int] = networkx.Graph()
    graph.add_nodes_from(range(len(numbers.must)))
    reach = np.array(numbers.arrays.guest_reach, dtype=np.int64)
    for kind in np.unique(reach[numbers.moves]):
        # A path through all the hosts of one reach connects them as well as every pair would.
        networkx.add_path(graph, np.flatnonzero(numbers.arrays.reaches[kind]).tolist())
    label = np.arange(len(numbers.must), dtype=np.int64)
    for part in networkx.connected_components(graph):
        label[list(part)] = min(part)
    return label


def _split(items: Ints, keys: Ints) -> dict[int, Ints]:
    if not len(items):
        return {}
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    parts = np.split(items[order], starts[1:])
    return {int(key): part for key, part in zip(distinct, parts, strict=True)}


def views(numbers: Numbers, whole: View) -> Iterator[View]:
    """The component itself, then a view of each set of hosts that confines some guests."""
    yield whole
    yield from _reach_views(numbers, whole)
    yield from _level_views(numbers, whole)


def _reach_views(numbers: Numbers, whole: View) -> Iterator[View]:
    """Guests of one or more kinds of needs, and the hosts that offer them."""
    arrays = numbers.arrays
    kinds = np.array(arrays.guest_reach, dtype=np.int64)[whole.guests]
    sets = {int(k): arrays.reaches[k][whole.hosts] for k in np.unique(kinds)}
    distinct = {mask.tobytes(): mask for mask in sets.values() if not mask.all()}
    for mask in distinct.values():
        inside = [k for k, other in sets.items() if not (other & ~mask).any()]
        yield _view(numbers, whole, mask, np.isin(kinds, inside))


def _level_views(numbers: Numbers, whole: View) -> Iterator[View]:
    """Guests of newer Xen: hosts that stay below their version never hold them."""
    arrays = numbers.arrays
    level = np.array(arrays.level_now, dtype=np.int64)
    after = np.array(arrays.level_after, dtype=np.int64)
    stays = whole.hosts[~numbers.must[whole.hosts]]
    lowest = level[stays].min(initial=len(arrays.level_now) + 1)
    for floor in np.unique(level[whole.hosts[numbers.must[whole.hosts]]]):
        if floor <= lowest:
            continue
        best = np.where(numbers.must, np.maximum(level, after), level)
        yield _view(
            numbers,
            whole,
            best[whole.hosts] >= floor,
            level[numbers.host[whole.guests]] >= floor,
        )


def _view(numbers: Numbers, whole: View, hosts: Bools, guests: Bools) -> View:
    """The part of a component; other movable guests on hosts that stay up are strangers."""
    inside = np.zeros(len(numbers.must), dtype=np.bool_)
    inside[whole.hosts[hosts]] = True
    home = numbers.host[whole.guests]
    strange = ~guests & inside[home] & ~numbers.must[home]
    return View(whole.hosts[hosts], whole.guests[guests], whole.guests[strange])
