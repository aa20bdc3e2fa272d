"""`tests.sim` as a world of its own: hosts check for themselves, things happen in the middle, and
a witness notes what must never happen (`tests.sim_witness`).

Stories play on it (`tests.story_player`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.copies import INCOMING, MIGRATEDAWAY, Condition, condition
from agents.wire import AttemptState, Kind, Order, RefusalCode
from planner.fleet import Evacuation, Fleet, Guest
from tests.sim import NEW, SimHost
from tests.sim_endings import ENDINGS, Copy, Ending
from tests.sim_witness import Crossing, Witness

DOUBLING = [e for e in ENDINGS.values() if e.here and e.there and e.here.state == e.there.state]
"""Endings after which a guest runs on two hosts through no fault of anybody's here."""


class World(Witness):
    """A fleet to which things happen."""

    def __init__(self, fleet: Fleet, *, consents: Any = (), **more: Any) -> None:
        self.refusals: list[str] = []  # what hosts would not do, though they were told to
        self.orders: dict[str, Order] = {}  # that were begun
        self.boots: dict[str, int] = {}  # attempt -> boot of its host in which it began
        self.hurt: set[str] = set()  # guests that the world ended, and perhaps brought back
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
            self._end_move(order)
        if order.kind is Kind.REBOOT and self.hosts[order.host].up:
            self.rebooting.pop(order.host, None)

    def _end_move(self, order: Order) -> None:
        crossing = self.moving.get(order.guest or "")
        if crossing and crossing.order == order:
            del self.moving[order.guest or ""]

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
            self._end_move(self.orders[attempt_id])

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
