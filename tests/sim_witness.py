"""A witness of `tests.sim_world`: it notes what must never happen, whatever the controller's
records say of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from agents.copies import INCOMING, MIGRATEDAWAY, Condition, condition
from agents.wire import Domain, Kind, MendAction, Order
from planner.fleet import Evacuation, Fleet, Guest
from tests.sim import Sim, SimHost
from tests.sim_endings import SUSPENDED


class Crossing(NamedTuple):
    """A move under way: what tells afterwards whether its ends are still the same."""

    order: Order
    domid: int
    boot_there: int


class Witness(Sim):
    """A fleet that is watched; `wrongs` is what nobody may ever see, in words."""

    def __init__(self, fleet: Fleet, *, consents: Any = (), **more: Any) -> None:
        self.consents = frozenset(consents)
        self.wrongs: list[str] = []
        self.moving: dict[str, Crossing] = {}  # by guest
        self.rebooting: dict[str, Order] = {}
        self.dead: set[str] = set()  # without power
        self.foreign: set[str] = set()  # hosts where others have put guests
        self.doubled: set[str] = set()  # guests of which the world itself made two
        self.old: dict[str, int] = {}  # guest -> its domain that it may have run on without
        super().__init__(fleet, consents=consents, **more)

    def wrong(self, what: str) -> None:
        """Note it, once."""
        if what not in self.wrongs:
            self.wrongs.append(what)

    def _witness(self, order: Order) -> None:
        if order.kind is Kind.MOVE:
            self._witness_move(order)
        elif order.kind is Kind.REBOOT:
            self._witness_reboot(order)
        elif order.kind is Kind.STOP:
            guest = self.guests[order.guest or ""]
            if guest.evacuation is not Evacuation.RESTART and guest.name not in self.consents:
                self.wrong(f"{guest.name} is shut down, and its owner never agreed")

    def _witness_move(self, order: Order) -> None:
        guest, there = self.guests[order.guest or ""], order.destination or ""
        policy = self.fleet.policy
        under_way = [one.order for one in self.moving.values()]
        leaving = Counter(one.host for one in under_way)
        coming = Counter(one.destination for one in under_way)
        if leaving[order.host] >= policy.max_moves_out_per_host:
            self.wrong(f"more moves out of {order.host} at once than the policy grants")
        if coming[there] >= policy.max_moves_in_per_host:
            self.wrong(f"more moves to {there} at once than the policy grants")
        if guest.evacuation is Evacuation.HOLD:
            self.wrong(f"{guest.name} is moved, and nobody may touch it")
        if there in self.rebooting:
            self.wrong(f"{guest.name} is sent to {there}, which reboots")
        self._witness_company(guest, there)

    def _witness_company(self, guest: Guest, there: str) -> None:
        """Who else is there: kept apart from it, or leaving no room for it."""
        coming = [name for name, c in self.moving.items() if c.order.destination == there]
        if there in self.foreign:
            return
        for name in (*self.hosts[there].domains, *coming):
            other = self.guests.get(name)
            if other and set(other.apart) & set(guest.apart):
                self.wrong(f"{guest.name} is sent to {there}, where {name} is")
        promised = sum(self.guests[name].room_mib for name in coming)
        if self.free_mib(self.hosts[there]) - promised < guest.room_mib:
            self.wrong(f"{guest.name} is sent to {there}, which has no room for it")

    def _witness_reboot(self, order: Order) -> None:
        limit_s = self.limits.reboot_limit_s
        self.rebooting[order.host] = order
        away = [
            name
            for name in self.rebooting
            if name not in self.dead  # by no doing of ours: a person is told of those
            if name not in self.lost_hosts or self._since_s(name) < limit_s
        ]
        policy, group = self.fleet.policy, self._group(order.host)
        if len(away) > self.fleet.max_hosts_away:
            self.wrong(f"{', '.join(away)} are away, which is more than the policy grants")
        most = policy.max_hosts_away_per_group
        same = [name for name in away if group is not None and self._group(name) == group]
        if most is not None and len(same) > most:
            self.wrong(f"{', '.join(same)} of one group are away, which is more than is granted")

    def _since_s(self, rebooting: str) -> float:
        attempt = self.attempt(self.rebooting[rebooting].attempt_id)
        began = attempt.started_at if attempt else None
        return (self.now - began).total_seconds() if began else 0.0

    def _group(self, host: str) -> str | None:
        return next(one.group for one in self.fleet.hosts if one.name == host)

    def _witness_mend(self, order: Order, domain: Domain) -> None:
        elsewhere = self.runs_on(order.guest or "")
        if order.mend is MendAction.DESTROY_INCOMING:
            if domain.cpu_time_s > 0 or condition(domain.state) is not Condition.PAUSED:
                self.wrong(f"{domain.name} on {order.host} is destroyed, and it had run")
        elif order.mend is MendAction.DESTROY_SOURCE:
            if domain.state != SUSPENDED or not elsewhere:
                self.wrong(f"{domain.name} on {order.host} is destroyed, and may be the only one")
        elif elsewhere:
            self.wrong(f"{order.guest} is woken on {order.host} and runs on {elsewhere[0]}")
        elif self.old.get(order.guest or "") == domain.domid:
            self.wrong(f"{order.guest} is woken on {order.host}, and ran elsewhere since")

    def runs_on(self, guest: str) -> list[str]:
        """The hosts on which this guest runs, under whatever name."""
        names = (guest, guest + INCOMING, guest + MIGRATEDAWAY)
        return [
            host.name
            for host in self.hosts.values()
            for name, domain in host.domains.items()
            if name in names and condition(domain.state) is Condition.RUNS
        ]

    def look_around(self) -> None:
        """Whether any guest runs twice right now."""
        for name in self.guests:
            places = self.runs_on(name)
            if len(places) > 1 and name not in self.doubled:
                self.wrong(f"{name} runs on {' and '.join(places)}")

    def free_mib(self, host: SimHost) -> int:
        """Memory that no domain has there, in MiB."""
        return host.memory_mib - sum(self._room_mib(d) for d in host.domains.values())

    def _room_mib(self, domain: Domain) -> int:
        guest = self.guests.get(domain.name)
        return guest.room_mib if guest else domain.memory_mib
