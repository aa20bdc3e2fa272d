"""What a bound on the makespan needs to know of some components together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.arrays import RESTART, Arrays, Bools, Ints
from planner.bounds_view import Numbers, View
from planner.fleet import Gates, Policy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Components of the fleet, planned together; rows of two-dimensional arrays are resources.

    Per host to reboot: `back`, what it takes when it is back; `hold`, what it can have held of
    movable guests at any time; `before_s`, the shortest time from the rollout's start to its
    reboot; `restarts`, whether guests are shut down before it and started after it.
    Per movable guest: `size`, `move_s`, and `home`, its place among the hosts to reboot or -1.
    `free` is the room on hosts without reboot at the start, `slack` the room of the whole part
    beyond its guests, both per resource. `extra`: migrations that a plan may spend in this part
    above one for each guest on a host to reboot.
    """

    policy: Policy
    back: Ints
    hold: Ints
    before_s: Floats
    restarts: Bools
    group: Ints
    size: Ints
    move_s: Floats
    home: Ints
    free: Ints
    slack: Ints
    extra: int
    max_away: int

    @property
    def n_hosts(self) -> int:
        """Hosts to reboot."""
        return len(self.before_s)

    @property
    def canary_hosts(self) -> int:
        """Hosts that may reboot before everything waits for them; 0 without such a gate."""
        return 0 if self.policy.gates is Gates.NONE else self.policy.canary_hosts

    @property
    def started_together(self) -> int:
        """Reboots that can start within one reboot's time: hosts away, or a gated wave's hosts.

        With a gate after each wave no step of the next starts before all hosts of a wave are back.
        """
        if self.policy.gates is Gates.EVERY:
            return min(self.max_away, max(self.policy.wave_hosts, self.policy.canary_hosts))
        return self.max_away

    @cached_property
    def first_s(self) -> float:
        """Before this no reboot starts."""
        return float(self.before_s.min())

    @cached_property
    def gate_s(self) -> float:
        """Before this at most `canary_hosts` reboots start: the canary wave has to be back."""
        return self.first_s + self.policy.reboot_s if self.canary_hosts else self.first_s


def part_of(numbers: Numbers, parts: Sequence[View], extra: int) -> Part:
    """The components as one part; `extra` is what a plan may spend in all of them together."""
    arrays = numbers.arrays
    hosts = np.concatenate([part.hosts for part in parts])
    guests = np.concatenate([part.guests for part in parts])
    old = hosts[numbers.must[hosts]]
    place = np.full(len(numbers.must), -1, dtype=np.int64)
    place[old] = np.arange(len(old))
    home = place[numbers.host[guests]]
    most = np.maximum(numbers.take, numbers.used)
    restarts = _restarts(numbers)[old]
    move_s = np.array(arrays.guest_move_s, dtype=np.float64)[guests]
    free = np.maximum(numbers.take - numbers.used, 0)[:, hosts[~numbers.must[hosts]]]
    drain_s = _drain_s(home, move_s, len(old), arrays.policy.max_moves_out_per_host)
    return Part(
        policy=arrays.policy,
        back=np.maximum(numbers.take - numbers.pin, 0)[:, old],
        hold=(most - numbers.pin)[:, old],
        before_s=drain_s + arrays.policy.stop_s * restarts,
        restarts=restarts,
        group=_groups(arrays)[old],
        size=numbers.size[:, guests],
        move_s=move_s,
        home=home,
        free=free.sum(axis=1),
        slack=(most - numbers.used)[:, hosts].sum(axis=1),
        extra=extra,
        max_away=arrays.max_away,
    )


def _restarts(numbers: Numbers) -> Bools:
    restarts = np.zeros(len(numbers.must), dtype=np.bool_)
    restarts[numbers.host[np.array(numbers.arrays.guest_kind, dtype=np.int64) == RESTART]] = True
    return restarts


def _groups(arrays: Arrays) -> Ints:
    return np.array([-1 if g is None else g for g in arrays.host_group], dtype=np.int64)


def _drain_s(home: Ints, move_s: Floats, n_hosts: int, streams: int) -> Floats:
    """Shortest time to move each host's own guests off, so many at a time.

    At least the work divided by the streams, the longest move, and (two of the longest streams+1
    moves share a stream) the streams-th and the next longest one after the other.
    """
    work = np.zeros(n_hosts)
    longest = np.zeros(n_hosts)
    shared = np.zeros(n_hosts)
    order = np.lexsort((-move_s, home))
    order = order[home[order] >= 0]
    at, seconds = home[order], move_s[order]
    np.add.at(work, at, seconds)
    np.maximum.at(longest, at, seconds)
    rank = np.arange(len(at)) - np.searchsorted(at, at)
    for place in (streams - 1, streams):
        chosen = rank == place
        shared[at[chosen]] += seconds[chosen]
    counts = np.bincount(at, minlength=n_hosts)
    shared[counts <= streams] = 0.0
    return np.maximum(np.maximum(work / streams, longest), shared)
