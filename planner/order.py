"""Which host next: what emptying a host takes, and what its reboot brings."""

from __future__ import annotations

import numpy as np

from planner.arrays import MOVE, RESTART
from planner.opening import Ground
from planner.place import Placer, Weights
from planner.state import State


def drain_s(state: State, host: int) -> float:
    """Seconds in which the host can be emptied at best."""
    seconds = [state.arrays.guest_move_s[guest] for guest in state.movable(host)]
    if not seconds:
        return 0.0
    return max(sum(seconds) / state.arrays.policy.max_moves_out_per_host, max(seconds))


def has_restarts(state: State, host: int) -> bool:
    """Some guest has to be shut down before the host's reboot."""
    kind = state.arrays.guest_kind
    return any(kind[guest] == RESTART for guest in state.guests_on[host])


def fullness(state: State, host: int) -> float:
    """Room that emptying takes per room that the reboot brings, in the scarcer resource."""
    arrays = state.arrays
    used_mib = used_vcpus = 0
    room_mib, room_vcpus = arrays.take_mib[host], arrays.limit_vcpus[host]
    for guest in state.guests_on[host]:
        mib, vcpus = arrays.guest_mib[guest], arrays.guest_vcpus[guest]
        if arrays.guest_kind[guest] == MOVE:
            used_mib, used_vcpus = used_mib + mib, used_vcpus + vcpus
        else:
            room_mib, room_vcpus = room_mib - mib, room_vcpus - vcpus
    return max(used_mib / max(1, room_mib), used_vcpus / max(1, room_vcpus))


def bulk(state: State, host: int, weights: Weights) -> float:
    """The host's size in shares of an average host."""
    arrays = state.arrays
    return arrays.take_mib[host] * weights.mib + arrays.limit_vcpus[host] * weights.vcpus


def ground_of(placer: Placer, pool: int, away: int) -> Ground:
    """What the look-ahead of `planner.opening` has to know of one pool."""
    state, weights = placer.state, placer.weights
    part = state.arrays.pool_slices[pool]
    is_open = state.is_open[part]
    waiting = np.flatnonzero(~is_open & ~state.barred[part]) + part.start
    free = np.maximum(state.free_mib[part], 0) * weights.mib
    free += np.maximum(state.free_vcpus[part], 0) * weights.vcpus
    guests = [state.movable(host) for host in waiting.tolist()]
    sizes = np.array([placer.sizes[g] for own in guests for g in own], dtype=np.float64)
    owner = np.repeat(np.arange(len(waiting)), [len(own) for own in guests])
    ground = Ground(
        hosts=waiting,
        room=free[waiting - part.start].copy(),
        holes=free[waiting - part.start],
        sizes=sizes,
        owner=owner,
        open_room=float(free[is_open].sum()),
        away=away,
    )
    # What a host's own movable guests take is free as well when it is back.
    ground.room[:] = np.maximum(ground.holes + ground.used, 1e-9)
    return ground
