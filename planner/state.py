"""Where every guest stands half way through a plan that is being built.

A plan is built as a sequence: every action is sound when all earlier ones have ended. The
sequence is an order of decisions, not of execution: `planner.needs` derives what really has to
wait for what, so that the plan is safe in every order that keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from planner.arrays import HOLD, MOVE, Arrays, Bools, Ints


class Move(NamedTuple):
    """Guest `guest` goes from host to host; `serves` is the host whose emptying this is for."""

    guest: int
    source: int
    destination: int
    serves: int


class Reboot(NamedTuple):
    """Host `host` is empty but for its restart guests, and reboots."""

    host: int


Action = Move | Reboot


class State:
    """Guests and room after the actions of `sequence`.

    `free_mib` and `free_vcpus` are what moves may still bring in (below 0: none at all).
    `is_open[h]`: the host needs no reboot (any more), so guests come to stay; `level` is the rank
    of the Xen version that it runs by then. `apart_on[a]` counts, per host, the guests with the
    apart name `a`. Hosts that are neither open nor in `barred` may only take guests in passing.
    From and to the hosts in `untouched` nothing moves.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.sequence: list[Action] = []
        self.guest_at = list(arrays.guest_host)
        self.guests_on = [dict.fromkeys(guests) for guests in arrays.guests_of]
        self.is_open: Bools = ~np.array(arrays.reboot, dtype=np.bool_)
        self.barred: Bools = np.array(arrays.held, dtype=np.bool_) & ~self.is_open
        self.untouched: set[int] = set()
        self.level: Ints = np.array(arrays.level_now, dtype=np.int64)
        self.free_mib, self.free_vcpus = _room(arrays)
        self.apart_on: dict[int, dict[int, int]] = {}
        for guest, names in enumerate(arrays.guest_apart):
            for name in names:
                self._count_apart(name, arrays.guest_host[guest], 1)

    def _count_apart(self, name: int, host: int, change: int) -> None:
        on = self.apart_on.setdefault(name, {})
        on[host] = on.get(host, 0) + change
        if not on[host]:
            del on[host]

    def movable(self, host: int) -> list[int]:
        """The guests that have to leave the host before its reboot (none: left alone)."""
        if host in self.untouched:
            return []
        kind = self.arrays.guest_kind
        return [guest for guest in self.guests_on[host] if kind[guest] == MOVE]

    def is_held(self, host: int) -> bool:
        """The host holds a guest that must be left alone."""
        kind = self.arrays.guest_kind
        return any(kind[guest] == HOLD for guest in self.guests_on[host])

    def leave_alone(self, host: int) -> None:
        """The host does not reboot, and from now on no guest comes or goes."""
        self.untouched.add(host)
        self.barred[host], self.is_open[host] = True, False
        self.free_mib[host] = self.free_vcpus[host] = -1

    def move(self, guest: int, destination: int, serves: int) -> None:
        """Append the move of a guest, which the caller knows to be allowed."""
        source = self.guest_at[guest]
        self.sequence.append(Move(guest, source, destination, serves))
        self._shift(guest, source, destination)

    def _shift(self, guest: int, source: int, destination: int) -> None:
        mib, vcpus = self.arrays.guest_mib[guest], self.arrays.guest_vcpus[guest]
        self.guest_at[guest] = destination
        del self.guests_on[source][guest]
        self.guests_on[destination][guest] = None
        self.free_mib[source] += mib
        self.free_mib[destination] -= mib
        self.free_vcpus[source] += vcpus
        self.free_vcpus[destination] -= vcpus
        for name in self.arrays.guest_apart[guest]:
            self._count_apart(name, source, -1)
            self._count_apart(name, destination, 1)

    def undo_moves(self, length: int) -> None:
        """Take back the moves beyond the first `length` actions."""
        while len(self.sequence) > length:
            last = self.sequence.pop()
            if not isinstance(last, Move):
                raise ValueError("a reboot cannot be taken back")
            self._shift(last.guest, last.destination, last.source)

    def reboot(self, host: int) -> None:
        """Append the reboot of a host that holds restart guests at most."""
        self.sequence.append(Reboot(host))
        self.is_open[host] = True
        self.level[host] = self.arrays.level_after[host]

    def apart_hosts(self, guest: int) -> set[int]:
        """The hosts where a guest stands that this one must not meet."""
        names = self.arrays.guest_apart[guest]
        return {host for name in names for host in self.apart_on.get(name, ())}

    def may_take(self, guest: int) -> Bools:
        """Per host: it offers what the guest needs, runs no lower Xen, holds none to be apart from.

        Room and the way of the move (rebooted to not rebooted) are the caller's to look at.
        """
        arrays, source = self.arrays, self.guest_at[guest]
        fits: Bools = arrays.reaches[arrays.guest_reach[guest]] & (self.level >= self.level[source])
        if arrays.guest_apart[guest]:
            fits[list(self.apart_hosts(guest))] = False
        fits[source] = False
        return fits


def _room(arrays: Arrays) -> tuple[Ints, Ints]:
    mib = np.array(arrays.take_mib, dtype=np.int64)
    vcpus = np.array(arrays.limit_vcpus, dtype=np.int64)
    np.subtract.at(mib, arrays.guest_host, np.array(arrays.guest_mib, dtype=np.int64))
    np.subtract.at(vcpus, arrays.guest_host, np.array(arrays.guest_vcpus, dtype=np.int64))
    return mib, vcpus


def replayed(arrays: Arrays, actions: Iterable[Action], untouched: Iterable[int] = ()) -> State:
    """The state after these actions, with these hosts left alone."""
    state = State(arrays)
    for host in untouched:
        state.leave_alone(host)
    for action in actions:
        if isinstance(action, Move):
            state.move(action.guest, action.destination, action.serves)
        else:
            state.reboot(action.host)
    return state
