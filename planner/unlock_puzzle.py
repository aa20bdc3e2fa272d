"""From a state to the question for CP-SAT: which placement of some hosts' guests is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.arrays import MOVE
from planner.cpsat_repack import Item, Puzzle
from planner.state import State
from planner.unlock_order import may_go

_EXTRA = 100
_MOVE = 10
"""Prices: a move, and on top a move that would not have been needed."""


def movable_on(state: State, hosts: Iterable[int]) -> list[int]:
    """The movable guests on these hosts, host by host."""
    return [guest for host in hosts for guest in state.movable(host)]


def puzzle_of(state: State, hosts: Sequence[int], candidates: Sequence[int]) -> Puzzle:
    """The question which placement of these hosts' guests leaves one of the candidates empty."""
    arrays = state.arrays
    items, room, taken = [], {}, set()
    for host in hosts:
        guests = state.movable(host)
        room[host] = (
            int(state.free_mib[host]) + sum(arrays.guest_mib[g] for g in guests),
            int(state.free_vcpus[host]) + sum(arrays.guest_vcpus[g] for g in guests),
        )
        stay = [g for g in state.guests_on[host] if arrays.guest_kind[g] != MOVE]
        taken |= {(name, host) for g in stay for name in arrays.guest_apart[g]}
        items += [_item(state, guest, host, hosts) for guest in guests]
    closed = frozenset(h for h in hosts if state.free_mib[h] < 0 or state.free_vcpus[h] < 0)
    return Puzzle(items, room, candidates, closed, frozenset(taken))


def _item(state: State, guest: int, home: int, hosts: Sequence[int]) -> Item:
    arrays = state.arrays
    mib = arrays.guest_mib[guest]
    costs = {home: 0}
    for host in hosts:
        if host != home and may_go(state, guest, home, host):
            large = min(9, 10 * mib // max(1, arrays.limit_mib[home]))
            costs[host] = _MOVE + large + _EXTRA * _extra(state, home, host)
    return Item((mib, arrays.guest_vcpus[guest]), home, costs, arrays.guest_apart[guest])


def _extra(state: State, home: int, host: int) -> int:
    """Moves above one for each guest to evacuate that this one costs in the end."""
    leaves_open = bool(state.is_open[home])
    comes_to_old = not (state.is_open[host] or state.barred[host])
    return leaves_open + comes_to_old
