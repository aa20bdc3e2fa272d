"""The fleet as flat lists and numpy arrays: what solver, bounds and unlocking compute on.

Hosts and guests become integers. Hosts are sorted by pool (and keep the file's order within
one), so that a pool is a slice of every host array; guests keep the file's order. Nothing here
changes while planning: where guests stand half way through a plan is `planner.state.State`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from planner.fleet import MEGABITS_PER_MIB, Evacuation, Fleet, Guest, Host, Policy

MOVE, RESTART, HOLD = 0, 1, 2
_KINDS = {Evacuation.MOVE: MOVE, Evacuation.RESTART: RESTART, Evacuation.HOLD: HOLD}
# Forgives the last bit of a product such as 0.7 * 10, never a unit.
_ROUNDING = 1e-9

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Arrays:
    """A fleet by numbers. Memory in MiB, durations in seconds, vCPUs whole.

    `take_mib` is the memory that a host may hold when a move comes in (`max_fill`), `limit_mib`
    what it may hold at any time, `limit_vcpus` the same for vCPUs. `level_now` and `level_after`
    rank the Xen versions before and after the reboot: a guest never moves to a lower one.
    `guest_mib` counts the overhead, `guest_move_s` the whole migration. `reaches[r][h]`: host `h`
    is in the pool, and offers what guests with `guest_reach == r` need (the Xen version is apart).
    """

    policy: Policy
    max_away: int
    hosts: Sequence[Host]
    guests: Sequence[Guest]
    pool_slices: list[slice]
    host_pool: list[int]
    host_group: list[int | None]
    reboot: list[bool]
    limit_mib: list[int]
    take_mib: list[int]
    limit_vcpus: list[int]
    level_now: list[int]
    level_after: list[int]
    guest_host: list[int]
    guest_mib: list[int]
    guest_vcpus: list[int]
    guest_kind: list[int]
    guest_move_s: list[float]
    guest_apart: list[tuple[int, ...]]
    guest_reach: list[int]
    reaches: list[Bools]
    guests_of: list[list[int]]

    @cached_property
    def host_index(self) -> dict[str, int]:
        """The number of each host by its name."""
        return {host.name: number for number, host in enumerate(self.hosts)}

    @cached_property
    def held(self) -> list[bool]:
        """Per host: it holds a guest that must be left alone, so that it cannot be rebooted."""
        held = [False] * len(self.hosts)
        for host, kind in zip(self.guest_host, self.guest_kind, strict=True):
            held[host] = held[host] or kind == HOLD
        return held

    def movable(self, host: int) -> list[int]:
        """The guests of a host at the start that are to be live-migrated."""
        return [g for g in self.guests_of[host] if self.guest_kind[g] == MOVE]


def arrays_of(fleet: Fleet) -> Arrays:
    """The flat form of a fleet whose names are known to be sound (`planner.fleet` checks them)."""
    policy = fleet.policy
    hosts = sorted(fleet.hosts, key=lambda host: host.pool)
    guests = fleet.guests
    pools = {name: n for n, name in enumerate(dict.fromkeys(host.pool for host in hosts))}
    groups = {name: n for n, name in enumerate(dict.fromkeys(host.group for host in hosts))}
    index = {host.name: n for n, host in enumerate(hosts)}
    guest_host = [index[guest.host] for guest in guests]
    host_pool = [pools[host.pool] for host in hosts]
    guest_reach, reaches = _reaches(hosts, host_pool, guests, guest_host)
    levels = _levels(hosts, policy)
    return Arrays(
        policy=policy,
        max_away=fleet.max_hosts_away,
        hosts=hosts,
        guests=guests,
        pool_slices=_slices(host_pool),
        host_pool=host_pool,
        host_group=[None if host.group is None else groups[host.group] for host in hosts],
        reboot=[host.reboot for host in hosts],
        limit_mib=[host.memory_mib for host in hosts],
        take_mib=[math.floor(host.memory_mib * policy.max_fill + _ROUNDING) for host in hosts],
        limit_vcpus=[math.floor(host.cpus * policy.vcpus_per_cpu + _ROUNDING) for host in hosts],
        level_now=[levels[host.xen] for host in hosts],
        level_after=[
            levels[policy.xen_after if policy.xen_after and host.reboot else host.xen]
            for host in hosts
        ],
        guest_host=guest_host,
        guest_mib=[guest.memory_mib + guest.overhead_mib for guest in guests],
        guest_vcpus=[guest.vcpus for guest in guests],
        guest_kind=[_KINDS[guest.evacuation] for guest in guests],
        guest_move_s=_move_seconds(guests, policy),
        guest_apart=_apart(guests),
        guest_reach=guest_reach,
        reaches=reaches,
        guests_of=_guests_of(len(hosts), guest_host),
    )


def _move_seconds(guests: Sequence[Guest], policy: Policy) -> list[float]:
    per_mib = MEGABITS_PER_MIB * policy.dirty_factor / policy.stream_mbps
    return [policy.move_setup_s + guest.memory_mib * per_mib for guest in guests]


def _levels(hosts: Sequence[Host], policy: Policy) -> dict[str, int]:
    versions = {host.xen for host in hosts}
    if policy.xen_after:
        versions.add(policy.xen_after)
    numbers = {xen: tuple(int(part) for part in xen.split(".")) for xen in versions}
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers.values())))}
    return {xen: ranks[number] for xen, number in numbers.items()}


def _slices(host_pool: Sequence[int]) -> list[slice]:
    starts = [n for n, pool in enumerate(host_pool) if n == 0 or host_pool[n - 1] != pool]
    return [slice(a, b) for a, b in pairwise([*starts, len(host_pool)])]


def _guests_of(n_hosts: int, guest_host: Sequence[int]) -> list[list[int]]:
    guests_of: list[list[int]] = [[] for _ in range(n_hosts)]
    for guest, host in enumerate(guest_host):
        guests_of[host].append(guest)
    return guests_of


def _apart(guests: Sequence[Guest]) -> list[tuple[int, ...]]:
    numbers: dict[str, int] = {}
    return [
        tuple(numbers.setdefault(name, len(numbers)) for name in dict.fromkeys(guest.apart))
        if guest.apart
        else ()
        for guest in guests
    ]


def _reaches(
    hosts: Sequence[Host],
    host_pool: Sequence[int],
    guests: Sequence[Guest],
    guest_host: Sequence[int],
) -> tuple[list[int], list[Bools]]:
    kinds: dict[tuple[int, frozenset[str]], int] = {}
    host_kind = np.array(
        [
            kinds.setdefault((pool, frozenset(host.offers)), len(kinds))
            for pool, host in zip(host_pool, hosts, strict=True)
        ],
        dtype=np.int64,
    )
    numbers: dict[tuple[int, tuple[str, ...]], int] = {}
    guest_reach = [
        numbers.setdefault((host_pool[host], tuple(guest.needs)), len(numbers))
        for guest, host in zip(guests, guest_host, strict=True)
    ]
    reaches = [
        np.array([p == pool and offers.issuperset(needs) for p, offers in kinds], dtype=np.bool_)[
            host_kind
        ]
        for pool, needs in numbers
    ]
    return guest_reach, reaches
