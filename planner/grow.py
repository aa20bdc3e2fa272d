"""The constructive core: seeds first, then host after host onto what is rebooted already.

Any host that was chosen earlier is a destination, also while it is still being emptied or
reboots: its guests-to-be then start when it is back. That keeps room from lying idle between the
return of one host and the emptying of the next (`planner.place` finds the earliest room).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from planner.arrays import Arrays, Bools
from planner.away import Away
from planner.chains import Chains
from planner.needs import WaveHosts
from planner.opening import openings
from planner.order import bulk, drain_s, fullness, ground_of, has_restarts
from planner.place import Inbound, Parking, Placement, Placer, weights_of
from planner.state import Action, Move, State

# So many hosts are tried when one has to be emptied with extra moves, those with fewest guests.
_FORCED_TRIES = 200


@dataclass(frozen=True, slots=True)
class Recipe:
    """The choices that a portfolio varies. The result depends on nothing else.

    `extra` is how many moves may go to hosts still to reboot for speed (more only where nothing
    else empties any host); `seeds` fixes the number of hosts emptied so at the start; `opening`
    is the place of the opening in the look-ahead's list. `fit_s`: see `Weights`. `bulk`: how much
    larger hosts come later; `late_s`: a host that waits longer than this for others to return
    shows that room is not scarce, and lets the hosts that take longest to empty go first.
    `rare_s`: see `Weights`. `jitter` above 0 shuffles the order of hosts, by `seed`;
    hosts in `first` are emptied as soon as it is possible.
    """

    extra: int
    seeds: int | None = None
    opening: int = 0
    fit_s: float = 100.0
    bulk: float = 0.05
    late_s: float = 300.0
    rare_s: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    first: frozenset[int] = frozenset()


Unlock = Callable[[State, list[int]], int | None]
"""Moves guests so that one of the hosts is empty, and says which; None where it cannot."""


class Grower:
    """Builds the sequence of a plan for the whole fleet.

    `parked` counts the extra moves; `last_s` is the estimate of the makespan; `waiting` are the
    hosts of each pool still to be emptied, `longest` the same with the longest to empty first.
    """

    def __init__(self, arrays: Arrays, recipe: Recipe, unlock: Unlock | None = None) -> None:
        self.arrays = arrays
        self.recipe = recipe
        self.unlock = unlock
        self.state = State(arrays)
        self.inbound = Inbound(arrays)
        self.away = Away(arrays)
        self.placer = Placer(
            self.state, self.inbound, weights_of(arrays, recipe.fit_s, recipe.rare_s)
        )
        self.chains = Chains(self.state, self.placer.weights, self.placer.sizes)
        chance = random.Random(recipe.seed)
        self.noise = [math.exp(recipe.jitter * chance.gauss()) for _ in arrays.hosts]
        self.parked = 0
        self.base_s = 0.0
        self.last_s = 0.0
        self.wave_hosts: list[list[int]] = [[]]
        self.gates: list[bool] = []
        waits = np.flatnonzero(~self.state.is_open & ~self.state.barred).tolist()
        # Dictionaries keep an order, and forget a host at no cost.
        self.waiting: list[dict[int, None]] = [{} for _ in arrays.pool_slices]
        for host in waits:
            self.waiting[arrays.host_pool[host]][host] = None
        self.longest = [dict(hosts) for hosts in self.waiting]
        self.pool_s = [0.0] * len(self.waiting)
        self.is_late = [False] * len(self.waiting)

    def run(self, canary: Sequence[int] = ()) -> State:
        """The whole sequence; hosts that could not be emptied are left in `waiting`."""
        self.start(canary)
        self._open()
        return self.finish()

    def run_around(
        self, hosts: Collection[int], actions: Sequence[Action], canary: Sequence[int] = ()
    ) -> State:
        """The same, but for these hosts, a closed part of the fleet: they are as `actions` say."""
        aside = [(pool, host) for pool in range(len(self.waiting)) for host in self.waiting[pool]]
        aside = [(pool, host) for pool, host in aside if host in hosts]
        for pool, host in aside:
            del self.waiting[pool][host], self.longest[pool][host]
        self.run([host for host in canary if host not in hosts])
        for pool, host in aside:
            self.waiting[pool][host] = self.longest[pool][host] = None
        self.follow(actions)
        return self.state

    def follow(self, actions: Sequence[Action]) -> None:
        """Append these actions, each sound when its turn comes; every host reboots when empty."""
        policy = self.arrays.policy
        for action in actions:
            if isinstance(action, Move):
                self.state.move(action.guest, action.destination, action.serves)
                continue
            self.commit(Placement(action.host, [], 0, self.last_s))
            is_canary = len(self.wave_hosts) == 1 and policy.canary_hosts > 0
            if is_canary and len(self.wave_hosts[0]) == policy.canary_hosts:
                self.close_wave(gate=policy.gates != "none")

    def finish(self) -> State:
        """Empty what is left, without extra moves as far as that goes."""
        self._sort()
        pools = {pool for pool, hosts in enumerate(self.waiting) if hosts}
        while pools:
            pool = min(pools, key=lambda pool: (self.pool_s[pool], pool))
            if not (self._grow(pool) or self._force(pool)) or not self.waiting[pool]:
                pools.discard(pool)
        return self.state

    @property
    def moves(self) -> int:
        """Migrations in the sequence."""
        return sum(isinstance(action, Move) for action in self.state.sequence)

    def waves(self) -> list[WaveHosts]:
        """The waves so far; the last one needs no gate."""
        filled = [hosts for hosts in self.wave_hosts if hosts]
        gates = [*self.gates[: len(filled) - 1], False]
        return [WaveHosts(hosts, gate) for hosts, gate in zip(filled, gates, strict=False)]

    # -- one host ------------------------------------------------------------------------------

    def commit(self, placement: Placement) -> None:
        """Put the placement into the sequence, and its times into the estimate."""
        host, policy = placement.host, self.arrays.policy
        for guest, destination, end_s in placement.moves:
            self.state.move(guest, destination, host)
            self.inbound.book(destination, end_s)
        self.parked += placement.parked
        ready_s = max(placement.drained_s, self.base_s)
        if has_restarts(self.state, host):
            ready_s += policy.stop_s
        start_s = self.away.book(host, ready_s)
        self.state.reboot(host)
        self.inbound.open_from(host, start_s + policy.reboot_s)
        self.last_s = max(self.last_s, start_s + policy.reboot_s)
        pool = self.arrays.host_pool[host]
        del self.waiting[pool][host], self.longest[pool][host]
        self.pool_s[pool] = start_s
        self.is_late[pool] = start_s > ready_s + self.recipe.late_s
        self._count_wave(host)

    def _count_wave(self, host: int) -> None:
        policy = self.arrays.policy
        self.wave_hosts[-1].append(host)
        is_canary = len(self.wave_hosts) == 1 and policy.canary_hosts > 0
        if not is_canary and len(self.wave_hosts[-1]) >= policy.wave_hosts:
            self.close_wave(gate=policy.gates == "every")

    def close_wave(self, gate: bool) -> None:
        """What comes now belongs to a new wave, after the return of all hosts where gated."""
        self.wave_hosts.append([])
        self.gates.append(gate)
        if gate:
            self.base_s = self.last_s

    # -- phases --------------------------------------------------------------------------------

    def start(self, chosen: Sequence[int]) -> None:
        """Empty the canary: the chosen hosts, or the one that takes the fewest extra moves."""
        policy = self.arrays.policy
        if policy.canary_hosts == 0:
            return
        for host in chosen[: policy.canary_hosts - len(self.wave_hosts[0])]:
            self._try_out(host)
        for pool, hosts in enumerate(self.waiting):
            if not self.wave_hosts[0] and hosts:
                self._force(pool)
        if self.wave_hosts[0]:
            self.close_wave(gate=policy.gates != "none")

    def _try_out(self, host: int) -> None:
        """Empty a canary host at once, or if that is too dear onto those that were before it."""
        parking, left = Parking(self.parks([host])), self.recipe.extra - self.parked
        placement = self.placer.place(host, 0.0, parking, open_by_s=0.0)
        if self.wave_hosts[0] and (placement is None or placement.parked > left):
            placement = self.placer.place(host, 0.0)
        if placement is not None:
            self.commit(placement)

    def _open(self) -> None:
        """Spend the extra moves of the recipe where the look-ahead says."""
        budget, hosts = self.recipe.extra - self.parked, sum(map(len, self.waiting))
        for pool, waiting in enumerate(self.waiting):
            if waiting and (budget > 0 or self.recipe.seeds):
                share = len(waiting) / hosts
                self._open_pool(pool, int(budget * share), math.ceil(self.arrays.max_away * share))

    def _open_pool(self, pool: int, extra: int, away: int) -> None:
        found = openings(ground_of(self.placer, pool, away), extra, self.recipe.seeds)
        chosen = found[min(self.recipe.opening, len(found) - 1)]
        parks = self.parks(chosen.seeds + chosen.lifts)
        limit = self.parked + extra if self.recipe.seeds is None else 10**9
        for host in chosen.seeds:
            self._spend(self.placer.place(host, self.base_s, Parking(parks), self.base_s), limit)
        lift = Parking(parks, chosen.large, chosen.large)
        for host in chosen.lifts:
            self._spend(self.placer.place(host, self.base_s, lift), limit)

    def _spend(self, placement: Placement | None, limit: int) -> None:
        if placement is not None and self.parked + placement.parked <= limit:
            self.commit(placement)

    def parks(self, but: list[int]) -> Bools:
        """Hosts still to reboot that may take guests in passing, all but these."""
        parks: Bools = ~self.state.is_open & ~self.state.barred
        parks[but] = False
        return parks

    def _sort(self) -> None:
        state, recipe, weights = self.state, self.recipe, self.placer.weights
        drains_s = {host: drain_s(state, host) for hosts in self.waiting for host in hosts}
        for pool, hosts in enumerate(self.waiting):
            keys = {
                h: (fullness(state, h) + recipe.bulk * bulk(state, h, weights)) * self.noise[h]
                for h in hosts
            }
            first = recipe.first
            order = sorted(hosts, key=lambda h: (h not in first, keys[h], drains_s[h], h))
            self.waiting[pool] = dict.fromkeys(order)
            longest = sorted(hosts, key=lambda host: (-drains_s[host], host))
            self.longest[pool] = dict.fromkeys(longest)

    def _grow(self, pool: int) -> bool:
        """Empty one more host of the pool without any extra move; False where none fits."""
        for host in self.longest[pool] if self.is_late[pool] else self.waiting[pool]:
            placement = self.placer.place(host, self.base_s)
            if placement is not None:
                self.commit(placement)
                return True
        return False

    def _force(self, pool: int) -> bool:
        """Empty the host that takes the fewest extra moves, whatever the budget."""
        best: Placement | None = None
        state, noise = self.state, self.noise
        hosts = sorted(self.waiting[pool], key=lambda h: (len(state.movable(h)) * noise[h], h))
        for host in hosts[:_FORCED_TRIES]:
            parking = Parking(self.parks([host]))
            placement = self.placer.place(host, self.base_s, parking)
            if placement is not None and (
                best is None or placement.parked * noise[host] < best.parked * noise[best.host]
            ):
                best = placement
                if best.parked == 0:
                    break
        if best is not None:
            self.commit(best)
            return True
        return self._chain(pool) or self._unlock(pool)

    def _chain(self, pool: int) -> bool:
        for deep in (1, 2):
            for host in list(self.waiting[pool]):
                began = len(self.state.sequence)
                if self.chains.empty(host, deep):
                    self.parked += len(self.state.sequence) - began
                    self.commit(Placement(host, [], 0, self.last_s))
                    return True
        return False

    def _unlock(self, pool: int) -> bool:
        if self.unlock is None:
            return False
        host = self.unlock(self.state, list(self.waiting[pool]))
        if host is None:
            return False
        self.commit(Placement(host, [], 0, self.last_s))
        return True
