"""Empties a host where growing is stuck: moves guests among a neighbourhood of hosts.

The constructive planner places one guest after another and moves none twice without need. In full
pools of unequal hosts that gets stuck although a plan exists: what it takes is to exchange guests
between other hosts first. `unlock` takes the hosts with the most room and those that are easiest
to empty, lets CP-SAT find the cheapest placement in which one of them is empty, and turns it into
moves in an order in which each has room. More hosts are taken in as long as nothing is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.arrays import Ints
from planner.cpsat_repack import Outcome, solve
from planner.state import State
from planner.unlock_gather import gather
from planner.unlock_order import Step, in_order
from planner.unlock_puzzle import movable_on, puzzle_of


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try: `hosts` in a neighbourhood, `candidates` of them to empty, solver work.

    `work` is in the solver's deterministic time, about a second of one core for each unit.
    """

    hosts: int
    candidates: int
    work: float


EFFORTS = (Effort(10, 4, 1.0), Effort(20, 6, 3.0), Effort(32, 8, 8.0))


def unlock(state: State, hosts: Sequence[int], efforts: Sequence[Effort] = EFFORTS) -> int | None:
    """Move guests in `state` so that one of these hosts, all of one pool, is empty; says which.

    The moves are appended to the state's sequence, each allowed when its turn comes. None, and
    the state is unchanged, where no way was found. What is stuck late, with all room in small
    holes, is often easy at the start: a caller with hosts left can begin again with those.
    """
    order = easiest(state, hosts)
    if not order:
        return None
    for effort in efforts:
        found = _try(state, order[: effort.candidates], effort)
        if found is not None:
            return _moved(state, *found)
    steps = gather(state, order[0])
    return None if steps is None else _moved(state, order[0], steps)


def _moved(state: State, host: int, steps: Sequence[Step]) -> int:
    for guest, destination in steps:
        state.move(guest, destination, host)
    return host


def _try(state: State, candidates: Sequence[int], effort: Effort) -> tuple[int, list[Step]] | None:
    puzzle = puzzle_of(state, _neighbours(state, candidates, effort.hosts), candidates)
    answer = solve(puzzle, effort.work)
    if answer.outcome is not Outcome.FOUND:
        return None
    guests = movable_on(state, puzzle.room)
    steps = in_order(state, dict(zip(guests, answer.places, strict=True)))
    return None if steps is None else (answer.emptied, steps)


def easiest(state: State, hosts: Sequence[int]) -> list[int]:
    """The hosts by how little room they have, those left out that the pool has no room to lose."""
    if not hosts:
        return []
    free_mib, free_vcpus = _free_in_pool(state, hosts[0])
    shares = {}
    for host in hosts:
        guests = state.movable(host)
        mib = sum(state.arrays.guest_mib[g] for g in guests) + max(0, int(state.free_mib[host]))
        vcpus = sum(state.arrays.guest_vcpus[g] for g in guests)
        vcpus += max(0, int(state.free_vcpus[host]))
        if mib <= free_mib and vcpus <= free_vcpus:
            shares[host] = max(mib / max(1, free_mib), vcpus / max(1, free_vcpus))
    return sorted(shares, key=lambda host: (shares[host], host))


def _free_in_pool(state: State, host: int) -> tuple[int, int]:
    part = state.arrays.pool_slices[state.arrays.host_pool[host]]
    return (
        int(np.maximum(state.free_mib[part], 0).sum()),
        int(np.maximum(state.free_vcpus[part], 0).sum()),
    )


def _neighbours(state: State, candidates: Sequence[int], many: int) -> list[int]:
    """The candidates and the hosts of their pool with the most room, in the scarcer resource."""
    arrays = state.arrays
    part = arrays.pool_slices[arrays.host_pool[candidates[0]]]
    free_mib, free_vcpus = _free_in_pool(state, candidates[0])
    room = np.minimum(
        np.maximum(state.free_mib[part], 0) / max(1, free_mib),
        np.maximum(state.free_vcpus[part], 0) / max(1, free_vcpus),
    )
    # An open host's room costs no extra move; among equals it comes first.
    order: Ints = np.lexsort((~state.is_open[part], -room)) + part.start
    chosen = list(candidates)
    chosen += [int(host) for host in order if int(host) not in set(candidates)]
    return chosen[:many]
