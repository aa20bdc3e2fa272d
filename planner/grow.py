"""The constructive core: seeds first, then host after host onto what is rebooted already.

Any host that was chosen earlier is a destination, also while it is still being emptied or
reboots: its guests-to-be then start when it is back. That keeps room from lying idle between the
return of one host and the emptying of the next (`planner.place` finds the earliest room).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from planner.arrays import RESTART, Arrays, Bools
from planner.away import Away
from planner.needs import WaveHosts
from planner.place import Inbound, Placement, Placer, weights_of
from planner.state import State


@dataclass(frozen=True, slots=True)
class Recipe:
    """The choices that a portfolio varies. The result depends on nothing else.

    `extra` is how many moves may go to hosts still to reboot for speed (more only where nothing
    else empties any host); `seeds` is the number of hosts emptied so at the start (None: as many
    as `extra` pays for).
    """

    extra: int
    seeds: int | None = None
    fit_s: float = 200.0
    long_first: bool = True


Unlock = Callable[[State, list[int]], int | None]
"""Moves guests so that one of the hosts is empty, and says which; None where it cannot."""


class Grower:
    """Builds the sequence of a plan for the whole fleet."""

    def __init__(self, arrays: Arrays, recipe: Recipe, unlock: Unlock | None = None) -> None:
        self.arrays = arrays
        self.recipe = recipe
        self.unlock = unlock
        self.state = State(arrays)
        self.inbound = Inbound(arrays)
        self.away = Away(arrays)
        self.placer = Placer(self.state, self.inbound, weights_of(arrays, recipe.fit_s))
        self.parked = 0
        self.base_s = 0.0
        self.last_s = 0.0
        self.wave_hosts: list[list[int]] = [[]]
        self.gates: list[bool] = []
        self.waiting: list[list[int]] = [[] for _ in arrays.pool_slices]
        for host, reboot in enumerate(arrays.reboot):
            if reboot and not self.state.barred[host]:
                self.waiting[arrays.host_pool[host]].append(host)
        self.pool_s = [0.0] * len(self.waiting)
        self.late = [False] * len(self.waiting)

    def run(self, canary: Iterable[int] = ()) -> State:
        """The whole sequence; hosts that could not be emptied are left in `waiting`."""
        self._canary(list(canary))
        self._seed()
        self._sort()
        pools = {pool for pool, hosts in enumerate(self.waiting) if hosts}
        while pools:
            pool = min(pools, key=lambda pool: (self.pool_s[pool], pool))
            if not (self._grow(pool) or self._force(pool)) or not self.waiting[pool]:
                pools.discard(pool)
        return self.state

    def waves(self) -> list[WaveHosts]:
        """The waves so far; the last one needs no gate."""
        filled = [hosts for hosts in self.wave_hosts if hosts]
        gates = [*self.gates[: len(filled) - 1], False]
        return [WaveHosts(hosts, gate) for hosts, gate in zip(filled, gates, strict=False)]

    # -- one host ------------------------------------------------------------------------------

    def commit(self, placement: Placement) -> None:
        """Put the placement into the sequence, and its times into the estimate."""
        host = placement.host
        for guest, destination, end_s in placement.moves:
            self.state.move(guest, destination, host)
            self.inbound.book(destination, end_s)
        self.parked += placement.parked
        ready_s = max(placement.drained_s, self.base_s)
        kinds = self.arrays.guest_kind
        if any(kinds[guest] == RESTART for guest in self.state.guests_on[host]):
            ready_s += self.arrays.policy.stop_s
        start_s = self.away.book(host, ready_s)
        self.state.reboot(host)
        back_s = start_s + self.arrays.policy.reboot_s
        self.inbound.open_from(host, back_s)
        self.last_s = max(self.last_s, back_s)
        pool = self.arrays.host_pool[host]
        self.waiting[pool].remove(host)
        self.pool_s[pool] = start_s
        self.late[pool] = start_s > ready_s + 1.0
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

    def _canary(self, chosen: list[int]) -> None:
        policy = self.arrays.policy
        if policy.canary_hosts == 0 or not any(self.waiting):
            return
        for host in chosen:
            placement = self.placer.place(host, 0.0, self._parks(host))
            if placement is not None:
                self.commit(placement)
        if not self.wave_hosts[0]:
            for pool, hosts in enumerate(self.waiting):
                if hosts and self._force(pool):
                    break
        if self.wave_hosts[0]:
            self.close_wave(gate=policy.gates != "none")

    def _seed(self) -> None:
        """Empty hosts onto others still to reboot while the budget lasts, the cheapest first."""
        hosts = sorted((h for pool in self.waiting for h in pool), key=self._seed_cost)
        seeds = 0
        for host in hosts:
            if self.recipe.seeds is not None and seeds >= self.recipe.seeds:
                break
            left = self.recipe.extra - self.parked
            if left <= 0:
                break
            parks = self._parks(host)
            placement = self.placer.place(host, self.base_s, parks, open_by_s=self.base_s)
            if placement is not None and placement.parked <= left:
                self.commit(placement)
                seeds += 1

    def _seed_cost(self, host: int) -> tuple[float, float]:
        guests = self.state.movable(host)
        return len(guests) / max(1, self.arrays.limit_mib[host]), self._drain_s(host)

    def _parks(self, host: int) -> Bools:
        parks: Bools = ~self.state.is_open & ~self.state.barred
        parks[host] = False
        return parks

    def _sort(self) -> None:
        for hosts in self.waiting:
            hosts.sort(key=lambda host: (self._fullness(host), self._drain_s(host), host))

    def _fullness(self, host: int) -> float:
        """Room that emptying takes per room that it brings, in the scarcer resource."""
        arrays, state = self.arrays, self.state
        stays = [guest for guest in state.guests_on[host] if arrays.guest_kind[guest] == RESTART]
        goes = state.movable(host)
        return max(
            sum(size[guest] for guest in goes)
            / max(1, limit[host] - sum(size[guest] for guest in stays))
            for size, limit in (
                (arrays.guest_mib, arrays.take_mib),
                (arrays.guest_vcpus, arrays.limit_vcpus),
            )
        )

    def _drain_s(self, host: int) -> float:
        seconds = [self.arrays.guest_move_s[guest] for guest in self.state.movable(host)]
        return sum(seconds) / self.arrays.policy.max_moves_out_per_host

    def _grow(self, pool: int) -> bool:
        """Empty one more host of the pool without any extra move; False where none fits."""
        hosts = self.waiting[pool]
        if self.late[pool] and self.recipe.long_first:
            hosts = sorted(hosts, key=self._drain_s, reverse=True)
        for host in hosts:
            placement = self.placer.place(host, self.base_s)
            if placement is not None:
                self.commit(placement)
                return True
        return False

    def _force(self, pool: int) -> bool:
        """Empty the host that takes the fewest extra moves, whatever the budget."""
        best: Placement | None = None
        hosts = sorted(self.waiting[pool], key=lambda host: (len(self.state.movable(host)), host))
        for host in hosts[:200]:
            placement = self.placer.place(host, self.base_s, self._parks(host))
            if placement is not None and (best is None or placement.parked < best.parked):
                best = placement
                if best.parked == 0:
                    break
        if best is not None:
            self.commit(best)
            return True
        return self._unlock(pool)

    def _unlock(self, pool: int) -> bool:
        if self.unlock is None:
            return False
        host = self.unlock(self.state, list(self.waiting[pool]))
        if host is None:
            return False
        self.commit(Placement(host, [], 0, self.last_s))
        return True
