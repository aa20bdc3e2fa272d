"""Empties a host where guests fit only if others make way: moves of moves, one or two deep.

A guest for which there is no room goes where one other guest can leave: from a rebooted host to
another one, which is an extra move, or from a host still to reboot to a rebooted one, which that
guest has ahead of it anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.arrays import MOVE, Bools, Ints
from planner.place import Weights
from planner.state import State

# So many guests that could make way are looked at for each guest that has no room.
_MOST_TRIES = 60


class Chains:
    """Empties hosts of one state; what does not work out leaves the state as it was."""

    def __init__(self, state: State, weights: Weights, sizes: Sequence[float]) -> None:
        self.state = state
        self.sizes = sizes
        self._weights = weights
        arrays = state.arrays
        self._mib = np.array(arrays.guest_mib, dtype=np.int64)
        self._vcpus = np.array(arrays.guest_vcpus, dtype=np.int64)

    def empty(self, host: int, deep: int = 1) -> bool:
        """Move every movable guest off the host, or none."""
        state = self.state
        began = len(state.sequence)
        self._serves = host
        for guest in sorted(state.movable(host), key=self.sizes.__getitem__, reverse=True):
            if not self._put(guest, deep, {host}):
                state.undo_moves(began)
                return False
        return True

    def _put(self, guest: int, deep: int, tabu: set[int]) -> bool:
        """Move the guest to the best host, making way if it has to; `tabu` hosts stay as is."""
        state = self.state
        targets = self._targets(guest, tabu)
        destination = self._best(guest, targets)
        if destination is not None:
            state.move(guest, destination, self._serves)
            return True
        return deep > 0 and self._make_way(guest, targets, deep, tabu)

    def _targets(self, guest: int, tabu: set[int]) -> Bools:
        """Where the guest may stand at all; from a host that is done only to such."""
        state = self.state
        targets = state.may_take(guest) & ~state.barred
        if state.is_open[state.guest_at[guest]]:
            targets &= state.is_open
        targets[list(tabu)] = False
        return targets

    def _best(self, guest: int, targets: Bools) -> int | None:
        """The fullest host with room, of those that are done if there is one."""
        state, arrays = self.state, self.state.arrays
        left_mib = state.free_mib - arrays.guest_mib[guest]
        left_vcpus = state.free_vcpus - arrays.guest_vcpus[guest]
        hosts = np.flatnonzero(targets & (left_mib >= 0) & (left_vcpus >= 0))
        if not len(hosts):
            return None
        left = left_mib[hosts] * self._weights.mib + left_vcpus[hosts] * self._weights.vcpus
        return int(hosts[(left + ~state.is_open[hosts] * 1e6).argmin()])

    def _make_way(self, guest: int, targets: Bools, deep: int, tabu: set[int]) -> bool:
        state = self.state
        began = len(state.sequence)
        for other in self._could_leave(guest, targets)[:_MOST_TRIES].tolist():
            host = state.guest_at[other]
            if self._put(other, deep - 1, tabu | {host}):
                if self._fits(guest, host):
                    state.move(guest, host, self._serves)
                    return True
                state.undo_moves(began)
        return False

    def _fits(self, guest: int, host: int) -> bool:
        state, arrays = self.state, self.state.arrays
        return bool(
            state.free_mib[host] >= arrays.guest_mib[guest]
            and state.free_vcpus[host] >= arrays.guest_vcpus[guest]
            and state.may_take(guest)[host]
        )

    def _could_leave(self, guest: int, targets: Bools) -> Ints:
        """Guests whose going would make the room, the smallest first, from hosts done first."""
        state, arrays = self.state, self.state.arrays
        hosts = np.flatnonzero(targets)
        others = np.array(
            [
                other
                for host in hosts.tolist()
                for other in state.guests_on[host]
                if arrays.guest_kind[other] == MOVE
            ],
            dtype=np.int64,
        )
        if not len(others):
            return others
        on = np.array(state.guest_at, dtype=np.int64)[others]
        frees = state.free_mib[on] + self._mib[others] >= arrays.guest_mib[guest]
        frees &= state.free_vcpus[on] + self._vcpus[others] >= arrays.guest_vcpus[guest]
        smaller = np.array(self.sizes)[others] < self.sizes[guest]
        others = others[frees & smaller]
        return others[np.argsort(np.array(self.sizes)[others], kind="stable")]
