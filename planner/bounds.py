"""Proven lower bounds: migrations, and the makespan of a plan that spends few of them.

No valid plan is below these; how far above a plan is tells how much better any plan could be. The
arguments stand in `bounds_moves` (migrations), `bounds_room` (hosts, counts, room) and
`bounds_growth` (generations). What will not be rebooted asks for nothing, so the bounds are told
which hosts a plan blocks. Hosts with a guest that must be left alone are always blocked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from planner.arrays import Arrays, arrays_of
from planner.bounds_growth import growth_bound_s
from planner.bounds_moves import extra_moves_bound
from planner.bounds_part import part_of
from planner.bounds_room import room_bound_s
from planner.bounds_view import Numbers, View, numbers_of
from planner.fleet import Fleet

_SOME_MOVES = 12
"""So many moves above the bound are always granted: the fraction of a small fleet's is none."""

_CLOSELY_LOOKED_AT = 8
"""Components whose growth is followed one by one: those with the largest other bounds."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of one fleet, its blocked hosts left out; computed once, asked several times.

    `evacuated` guests each move once at least; `extras` are further moves of each component.
    """

    numbers: Numbers
    parts: Sequence[View]
    evacuated: int
    extras: Sequence[int]

    @property
    def moves(self) -> int:
        """Migrations that every plan has at least."""
        return self.evacuated + sum(self.extras)

    @property
    def moves_allowed(self) -> int:
        """Migrations that the policy lets a plan spend, by `extra_moves`."""
        policy = self.numbers.arrays.policy
        return self.moves + math.floor(self.moves * policy.extra_moves + 1e-9)

    def makespan_s(self, moves: int | None = None) -> float:
        """Seconds that every plan takes which has at most this many migrations.

        By default as many as the policy allows, and a dozen above the bound in any case.
        """
        if not self.parts:
            return 0.0
        granted = max(self.moves_allowed, self.moves + _SOME_MOVES, moves or 0)
        spare = granted - self.moves
        singles = [
            part_of(self.numbers, [part], extra + spare)
            for part, extra in zip(self.parts, self.extras, strict=True)
        ]
        by_room = sorted(((room_bound_s(part), n) for n, part in enumerate(singles)), reverse=True)
        bounds = [by_room[0][0]]
        bounds += [growth_bound_s(singles[n]) for _, n in by_room[:_CLOSELY_LOOKED_AT]]
        if len(self.parts) > 1:
            together = part_of(self.numbers, self.parts, sum(self.extras) + spare)
            bounds += [room_bound_s(together), growth_bound_s(together)]
        return _below(max(bounds))


def _below(seconds: float) -> float:
    """Rounded down to a millisecond, so that no sum of floats lifts a bound above a plan."""
    return max(0.0, math.floor(seconds * (1 - 1e-9) * 1000) / 1000)


def bounds_of(arrays: Arrays, blocked: Collection[int] = ()) -> Bounds:
    """The bounds for plans that reboot every host with `reboot` but the blocked ones (numbers)."""
    numbers = numbers_of(arrays, blocked)
    parts = numbers.components
    evacuated = int((numbers.moves & numbers.must[numbers.host]).sum())
    return Bounds(numbers, parts, evacuated, [extra_moves_bound(numbers, p) for p in parts])


def moves_lower_bound(fleet: Fleet, blocked: Collection[str] = ()) -> int:
    """Migrations that every plan has at least which reboots all but the blocked hosts (names)."""
    return _named(fleet, blocked).moves


def makespan_lower_bound_s(
    fleet: Fleet, blocked: Collection[str] = (), moves: int | None = None
) -> float:
    """Seconds that every such plan takes if it has at most `moves` migrations.

    By default, and at least, as many as `Bounds.makespan_s` grants.
    """
    return _named(fleet, blocked).makespan_s(moves)


def _named(fleet: Fleet, blocked: Collection[str]) -> Bounds:
    arrays = arrays_of(fleet)
    return bounds_of(arrays, [arrays.host_index[name] for name in blocked])
