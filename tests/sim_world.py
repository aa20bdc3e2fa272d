"""`tests.sim` as a world of its own: hosts check for themselves, things happen in the middle, and
a witness notes what must never happen, whatever the controller's records say of it.

Stories play on it (`tests.story_player`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from agents.copies import INCOMING, MIGRATEDAWAY, Condition, condition
from agents.wire import AttemptState, Domain, Kind, MendAction, Order, RefusalCode
from planner.fleet import Evacuation, Fleet, Guest
from tests.sim import NEW, Sim, SimHost
from tests.sim_endings import ENDINGS, SUSPENDED, Copy, Ending

DOUBLING = [e for e in ENDINGS.values() if e.here and e.there and e.here.state == e.there.state]
"""Endings after which a guest runs on two hosts through no fault of anybody's here."""


class Crossing(NamedTuple):
    """A move under way: what tells afterwards whether its ends are still the same."""

    order: Order
    domid: int
    boot_there: int


class World(Sim):
    """A fleet to which things happen; `wrongs` is what nobody may ever see, in words."""

    def __init__(self, fleet: Fleet, *, consents: Any = (), **more: Any) -> None:
        self.consents = frozenset(consents)
        self.wrongs: list[str] = []
        self.refusals: list[str] = []  # what hosts would not do, though they were told to
        self.orders: dict[str, Order] = {}  # that were begun
        self.boots: dict[str, int] = {}  # attempt -> boot of its host in which it began
        self.moving: dict[str, Crossing] = {}  # by guest
        self.rebooting: dict[str, Order] = {}
        self.dead: set[str] = set()  # without power
        self.foreign: set[str] = set()  # hosts where others have put guests
        self.doubled: set[str] = set()  # guests of which the world itself made two
        self.hurt: set[str] = set()  # guests that the world ended, and perhaps brought back
        self.old: dict[str, int] = {}  # guest -> its domain that it may have run on without
        self._cut: Ending | None = None
        super().__init__(fleet, consents=consents, **more)

    # What hosts check for themselves, as `agents.gates` does.

    def start(self, order: Order) -> None:
        refused = self._refuses(order)
        if refused:
            code, reason = refused
            self.refusals.append(f"{order.attempt_id}: {reason}")
            self.say(order, AttemptState.REFUSED, refusal=code, reason=reason)
            return
        self._witness(order)
        self.orders[order.attempt_id] = order
        self.boots[order.attempt_id] = self.hosts[order.host].boot
        super().start(order)

    def _refuses(self, order: Order) -> tuple[RefusalCode, str] | None:
        host = self.hosts[order.host]
        for attempt_id in self._under_way(order.host):
            other = self.orders[attempt_id]
            same = order.guest is not None and other.guest == order.guest
            if same or Kind.REBOOT in (order.kind, other.kind):
                return RefusalCode.BUSY, f"attempt {attempt_id} is at work here"
        reason = self._not_so(order, host)
        return (RefusalCode.GATE, reason) if reason else None

    def _not_so(self, order: Order, host: SimHost) -> str:
        """What of its guests keeps a host from doing it; nothing: an empty text."""
        name = order.guest or ""
        domain = host.domains.get(name)
        if order.kind in (Kind.MOVE, Kind.STOP):
            if domain is None or condition(domain.state) is not Condition.RUNS:
                return f"{name} does not run here"
            left = [one for one in (name + INCOMING, name + MIGRATEDAWAY) if one in host.domains]
            return f"{left[0]} is left here" if left else ""
        if order.kind is Kind.START:
            return f"{name} is here already" if domain else ""
        if order.kind is Kind.RETUNE:
            return "" if domain else f"{name} is not here"
        if order.kind is Kind.MEND:
            there = any(one.domid == order.domid for one in host.domains.values())
            return "" if there else f"domain {order.domid} is not here"
        if order.kind is Kind.REBOOT:
            coming = [g for g, c in self.moving.items() if c.order.destination == host.name]
            return f"not empty: {sorted(host.domains) + coming}" if host.domains or coming else ""
        return ""

    def _under_way(self, host: str) -> list[str]:
        return [
            name
            for name, order in self.orders.items()
            if order.host == host and self._runs(name) and self.boots[name] == self.hosts[host].boot
        ]

    def _runs(self, attempt_id: str) -> bool:
        attempt = self.attempt(attempt_id)
        return attempt is not None and attempt.state is AttemptState.RUNNING

    # What happens in the middle of things.

    def _deeds(self) -> dict[Kind, Callable[[Order], tuple[float, Callable[[], None]]]]:
        return {kind: self._as_power_lasts(deed) for kind, deed in super()._deeds().items()}

    def _as_power_lasts(
        self, deed: Callable[[Order], tuple[float, Callable[[], None]]]
    ) -> Callable[[Order], tuple[float, Callable[[], None]]]:
        def begun(order: Order) -> tuple[float, Callable[[], None]]:
            seconds, then = deed(order)
            return seconds, lambda: self._end(order, then)

        return begun

    def _end(self, order: Order, then: Callable[[], None]) -> None:
        if order.host not in self.dead and self._runs(order.attempt_id):
            then()
        if order.kind is Kind.MOVE:
            del self.moving[order.guest or ""]
        if order.kind is Kind.REBOOT and self.hosts[order.host].up:
            self.rebooting.pop(order.host, None)

    def _move(self, order: Order) -> tuple[float, Callable[[], None]]:
        seconds, then = super()._move(order)
        name = order.guest or ""
        domid = self.hosts[order.host].domains[name].domid
        there = self.hosts[order.destination or ""]
        self.moving[name] = Crossing(order, domid, there.boot)
        fault = self.faults.get(name)
        ending = ENDINGS.get(str(fault[0] if isinstance(fault, list) and fault else fault))
        return (ending.lasts_s if ending and ending.lasts_s else seconds), then

    def _arrive(self, order: Order, guest: Guest) -> None:
        self._cut = self._cut_short(order, guest)
        super()._arrive(order, guest)
        if not self.runs_on(guest.name):
            self.hurt.add(guest.name)

    def _cut_short(self, order: Order, guest: Guest) -> Ending | None:
        """How a migration ends that met what the world did meanwhile; None: nothing."""
        source, there = self.hosts[order.host], self.hosts[order.destination or ""]
        domain = source.domains.get(guest.name)
        if domain is None:
            return ENDINGS["shut down meanwhile"]
        crossing = self.moving[guest.name]
        if crossing.domid != domain.domid or condition(domain.state) is not Condition.RUNS:
            return Ending(ENDINGS["restarted meanwhile"].text, here=Copy(domain.state))
        if not there.up or there.boot != crossing.boot_there:
            return ENDINGS["breaks in pre-copy"]
        if guest.name in there.domains:
            return ENDINGS["its name is taken there"]
        return ENDINGS["no room there"] if self.free_mib(there) < guest.room_mib else None

    def _ending(self, guest: str) -> Ending | None:
        cut, self._cut = self._cut, None
        ending = cut or super()._ending(guest)
        if ending in DOUBLING:
            self.doubled.add(guest)
        if ending == ENDINGS["cut after go, nothing there"]:
            self.old[guest] = self._host_of(guest).domains[guest].domid
        return ending

    def lose_power(self, name: str) -> None:
        self.hurt.update(self.hosts[name].domains)
        super().lose_power(name)
        self.dead.add(name)

    def _forget(self, host: str) -> None:
        """Its agent's journal tells after a boot what was under way, and not how it ended."""
        for attempt_id in self._under_way(host):
            self.say(self.orders[attempt_id], AttemptState.UNKNOWN)

    def reboot_by_itself(self, name: str) -> None:
        self._forget(name)
        super().reboot_by_itself(name)

    def power_on(self, name: str) -> None:
        """It boots what is installed."""
        self._forget(name)
        super().power_on(name)
        self.dead.discard(name)
        host = self.hosts[name]
        host.livepatches = ()
        if self.rebooting.pop(name, None) and name not in self.wrong_builds:
            host.build = NEW

    def shut_down_by_owner(self, guest: str) -> None:
        self.hurt.add(guest)
        super().shut_down_by_owner(guest)

    def crash_and_stay(self, guest: str) -> None:
        self.hurt.add(guest)
        super().crash_and_stay(guest)

    def create(self, name: str, where: str) -> None:
        super().create(name, where)
        self.foreign.add(where)

    def start_by_hand(self, guest: str, where: str) -> None:
        """Somebody starts a guest that was shut down."""
        self._boot_guest(self.guests[guest], where)
        self.foreign.add(where)

    def is_woken(self, guest: str) -> bool:
        """Whether a host is just starting or waking it: whoever starts it now knows of that."""
        begun = (name for host in self.hosts for name in self._under_way(host))
        return any(self.orders[name].guest == guest for name in begun)

    def rename(self, guest: str, new: str) -> None:
        """Its owner gives it a name that no inventory knows; it stays the domain that it is."""
        host = self._host_of(guest)
        domain = host.domains.pop(guest)
        host.domains[new] = domain.model_copy(update={"name": new})
        host.report, self.uuids[new] = None, domain.uuid
        unknown = {"name": new, "apart": (), "evacuation": Evacuation.MOVE}
        self.guests[new] = self.guests.pop(guest).model_copy(update=unknown)
        if guest in self.hurt:
            self.hurt.add(new)

    def carry(self, guest: str, where: str) -> None:
        hurt = set(self.hurt)
        super().carry(guest, where)
        self.hurt = hurt
        self.foreign.add(where)

    def free_mib(self, host: SimHost) -> int:
        """Memory that no domain has there, in MiB."""
        return host.memory_mib - sum(self._room_mib(d) for d in host.domains.values())

    def _room_mib(self, domain: Domain) -> int:
        guest = self.guests.get(domain.name)
        return guest.room_mib if guest else domain.memory_mib

    # What must never happen.

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

    def _mend(self, order: Order) -> tuple[float, Callable[[], None]]:
        seconds, then = super()._mend(order)

        def witnessed() -> None:
            found = self.hosts[order.host].domains.values()
            domain = next((one for one in found if one.domid == order.domid), None)
            if domain is None:  # the host restarted meanwhile, or its owner was quicker
                self.say(order, AttemptState.ENDED, exit_code=1)
                return
            self._witness_mend(order, domain)
            then()

        return seconds, witnessed

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
