"""In which order guests can take their new places, one after another.

A move needs its room while the guest still stands at home. Most placements can be reached by doing
whichever move has room now; where moves wait for each other in a ring, one of the guests takes a
detour over a third host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.state import State

Step = tuple[int, int]
"""A guest and the host that it goes to."""

_MOST_DETOURS = 60


@dataclass
class _Room:
    """Room and apart names on the hosts while a list of moves is tried out."""

    state: State
    steps: list[Step]

    def __post_init__(self) -> None:
        self.mib = self.state.free_mib.copy()
        self.vcpus = self.state.free_vcpus.copy()
        self.at: dict[int, int] = {}
        self.names: dict[tuple[int, int], int] = {}

    def copy(self) -> _Room:
        """The same room and steps, to try further moves on."""
        other = _Room(self.state, list(self.steps))
        other.mib, other.vcpus = self.mib.copy(), self.vcpus.copy()
        other.at, other.names = dict(self.at), dict(self.names)
        return other

    def home(self, guest: int) -> int:
        """Where the guest is by now."""
        return self.at.get(guest, self.state.guest_at[guest])

    def fits(self, guest: int, host: int) -> bool:
        """There is room on the host, and nothing that the guest has to be apart from."""
        arrays = self.state.arrays
        if arrays.guest_mib[guest] > self.mib[host] or arrays.guest_vcpus[guest] > self.vcpus[host]:
            return False
        return not any(self._named(name, host) for name in arrays.guest_apart[guest])

    def _named(self, name: int, host: int) -> int:
        there = self.state.apart_on.get(name, {}).get(host, 0)
        return there + self.names.get((name, host), 0)

    def move(self, guest: int, host: int) -> None:
        """The guest stands on the host from now on."""
        arrays, source = self.state.arrays, self.home(guest)
        for place, sign in ((source, 1), (host, -1)):
            self.mib[place] += sign * arrays.guest_mib[guest]
            self.vcpus[place] += sign * arrays.guest_vcpus[guest]
            for name in arrays.guest_apart[guest]:
                self.names[name, place] = self.names.get((name, place), 0) - sign
        self.at[guest] = host
        self.steps.append((guest, host))


def in_order(state: State, targets: Mapping[int, int]) -> list[Step] | None:
    """Moves that bring each guest to its target, each with room when its turn comes; or None.

    Deterministic. Guests of `targets` may be brought to a further host on the way.
    """
    room = _Room(state, [])
    waiting = {guest: host for guest, host in targets.items() if state.guest_at[guest] != host}
    left = _MOST_DETOURS
    while waiting:
        guest = _next_move(room, waiting)
        if guest is not None:
            room.move(guest, waiting.pop(guest))
            continue
        detours = _detours(room, waiting, left)
        if not detours:
            return None
        left -= len(detours)
        for step in detours:
            room.move(*step)
    return room.steps


def _next_move(room: _Room, waiting: Mapping[int, int]) -> int | None:
    """The move with room now whose going makes room for the most that waits for its host."""
    wanted: dict[int, int] = {}
    for guest, host in waiting.items():
        wanted[host] = wanted.get(host, 0) + room.state.arrays.guest_mib[guest]
    possible = [guest for guest, host in waiting.items() if room.fits(guest, host)]
    return max(possible, key=lambda g: (wanted.get(room.home(g), 0), -g), default=None)


def _detours(room: _Room, waiting: Mapping[int, int], most: int) -> list[Step]:
    """The fewest guests to put elsewhere for now so that one more waiting guest has room."""
    best: list[Step] = []
    for guest, host in waiting.items():
        steps = _cleared(room, guest, host, waiting, min(most, len(best) - 1 if best else most))
        if steps and (not best or len(steps) < len(best)):
            best = steps
            if len(best) == 1:
                break
    return best


def _cleared(
    room: _Room, guest: int, host: int, waiting: Mapping[int, int], most: int
) -> list[Step]:
    """Up to `most` guests that wait to leave the host, put elsewhere, so that the guest fits."""
    arrays = room.state.arrays
    trial = room.copy()
    leaving = [g for g in waiting if trial.home(g) == host and g != guest]
    leaving.sort(key=lambda g: (-arrays.guest_mib[g], g))
    while not trial.fits(guest, host):
        if not leaving or len(trial.steps) - len(room.steps) >= most:
            return []
        gone = leaving.pop(0)
        stopover = _stopover(trial, gone, waiting[gone], guest)
        if stopover is not None:
            trial.move(gone, stopover)
    return trial.steps[len(room.steps) :]


def _stopover(room: _Room, guest: int, target: int, served: int) -> int | None:
    """The host with the least room that takes the guest for now and lets it go on to its target.

    Not the host of the guest that is to be served: that would only move the trouble.
    """
    state, source = room.state, room.home(guest)
    arrays = state.arrays
    part = arrays.pool_slices[arrays.host_pool[source]]
    fits = (room.mib[part] >= arrays.guest_mib[guest]) & (
        room.vcpus[part] >= arrays.guest_vcpus[guest]
    )
    hosts = np.flatnonzero(fits) + part.start
    for host in hosts[np.argsort(room.mib[hosts], kind="stable")].tolist():
        if host in (source, target, room.home(served)) or not room.fits(guest, host):
            continue
        if may_go(state, guest, source, host) and may_go(state, guest, host, target):
            return int(host)
    return None


def may_go(state: State, guest: int, source: int, host: int) -> bool:
    """The way from one host to another is allowed, whatever stands there: needs, Xen, direction."""
    arrays = state.arrays
    if not arrays.reaches[arrays.guest_reach[guest]][host]:
        return False
    if state.level[host] < state.level[source]:
        return False
    return bool(state.is_open[host]) or not (state.is_open[source] and arrays.reboot[source])
