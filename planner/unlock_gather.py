"""Empties one host bit by bit: neighbourhood after neighbourhood takes in as much as it can.

A large host in a full pool needs the holes of most of the pool, more hosts than one model can
hold. So each round gathers the holes of some twenty hosts, exchanging guests among them, for as
many of the host's guests as possible; the next round does the same with other hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from planner.cpsat_repack import Item, Outcome, solve
from planner.state import Move, State, replayed
from planner.unlock_order import Step, in_order
from planner.unlock_puzzle import movable_on, puzzle_of

_STAY = 1_000_000
"""Price of a guest that stays, for the share of the host's guests that it makes up."""


def gather(
    state: State, host: int, hosts: int = 20, rounds: int = 24, work: float = 2.0
) -> list[Step] | None:
    """Moves that empty the host, each allowed when its turn comes; None where it gets stuck.

    `state` is left as it is. Ends when as many rounds in a row as there are other hosts to ask
    brought nothing.
    """
    trial = replayed(state.arrays, state.sequence, state.untouched)
    done = len(trial.sequence)
    offset, idle = 0, 0
    for _ in range(rounds):
        if not trial.movable(host):
            return [(a.guest, a.destination) for a in trial.sequence[done:] if isinstance(a, Move)]
        around = _around(trial, host, hosts, offset)
        if _round(trial, host, around, work):
            idle = 0
            continue
        offset, idle = offset + hosts // 2, idle + 1
        if idle * hosts // 2 > _pool_size(trial, host):
            break
    return None


def _round(trial: State, host: int, around: Sequence[int], work: float) -> bool:
    """Let the hosts around take what they can; whether any guest left."""
    puzzle = puzzle_of(trial, [host, *around], [])
    items = [
        replace(item, costs=_costs(item, host, stays))
        for item, stays in zip(puzzle.items, _stays(trial, puzzle.room, host), strict=True)
    ]
    answer = solve(replace(puzzle, items=items), work)
    if answer.outcome is not Outcome.FOUND:
        return False
    guests = movable_on(trial, puzzle.room)
    targets = dict(zip(guests, answer.places, strict=True))
    steps = in_order(trial, targets)
    if steps is None or not any(trial.guest_at[guest] == host for guest, _ in steps):
        return False
    for guest, destination in steps:
        trial.move(guest, destination, host)
    return True


def _costs(item: Item, host: int, stays: int) -> dict[int, int]:
    """Prices for one of the host's guests to stay; for other guests, none may come to it."""
    if item.home == host:
        return {**item.costs, host: stays}
    return {place: price for place, price in item.costs.items() if place != host}


def _stays(trial: State, hosts: Iterable[int], host: int) -> list[int]:
    """Per movable guest of the hosts, the price of staying on `host`: large ones go first."""
    arrays, own = trial.arrays, trial.movable(host)
    mib = max(1, sum(arrays.guest_mib[g] for g in own))
    vcpus = max(1, sum(arrays.guest_vcpus[g] for g in own))
    shares = [
        max(arrays.guest_mib[g] / mib, arrays.guest_vcpus[g] / vcpus)
        for g in movable_on(trial, hosts)
    ]
    return [10_000 + int(_STAY * share * share) for share in shares]


def _around(trial: State, host: int, many: int, offset: int) -> list[int]:
    """Other hosts of the pool by room in the scarcer resource, from the offset on in a ring."""
    arrays = trial.arrays
    part = arrays.pool_slices[arrays.host_pool[host]]
    mib, vcpus = np.maximum(trial.free_mib[part], 0), np.maximum(trial.free_vcpus[part], 0)
    room = np.maximum(mib / max(1, mib.sum()), vcpus / max(1, vcpus.sum()))
    order = [int(h) for h in np.argsort(-room, kind="stable") + part.start if h != host]
    ring = order[offset % max(1, len(order)) :] + order[: offset % max(1, len(order))]
    large = _large(trial, host, many // 4)
    return large + [h for h in ring if h not in set(large)][: many - len(large)]


def _large(trial: State, host: int, many: int) -> list[int]:
    """The largest other hosts, where the largest guest can go."""
    arrays = trial.arrays
    part = arrays.pool_slices[arrays.host_pool[host]]
    others = [h for h in range(part.start, part.stop) if h != host]
    return sorted(others, key=lambda h: (-arrays.take_mib[h], h))[:many]


def _pool_size(trial: State, host: int) -> int:
    part = trial.arrays.pool_slices[trial.arrays.host_pool[host]]
    return int(part.stop) - int(part.start)
