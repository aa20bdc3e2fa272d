"""How the hosts of `tests.sim` carry out orders: how long each takes, and what it leaves behind."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Unpack

from agents.wire import (
    Attempt,
    AttemptState,
    Domain,
    Kind,
    MendAction,
    Order,
    RefusalCode,
    Tuning,
)
from planner.fleet import Fleet, Guest
from tests.sim_endings import ENDINGS, RUNS, Copy, Ending
from tests.sim_hosts import Shown, SimHosts
from tests.sim_parts import NEW, OLD, USUAL

Fault = str | list[str]
"""How a guest's migrations end: a key of `ENDINGS` or of `SHORT`, for each of them, or a list for
one after the other. `stays_up`: it ignores its shutdown; `stays_untuned`: its pinning cannot be put
back."""

SHORT = {
    "refuses": "ignores its suspend request",
    "crashes": "crashes on arrival",
    "twice": "runs on both",
    "fails": "breaks in pre-copy",  # the first time only
}


class Played(Shown, total=False):
    """What the hosts have at first, and how they carry out their orders.

    `patch_exits`: host -> exit codes of its attempts at live patches, then 0; `comes_back`:
    host -> fields of its SimHost after its reboot.
    """

    faults: Mapping[str, Fault] | None
    wrong_builds: Sequence[str]
    lost_hosts: Sequence[str]
    patch_exits: Mapping[str, Sequence[int]] | None
    comes_back: Mapping[str, Mapping[str, object]] | None


class SimDeeds(SimHosts):
    """Hosts that carry out orders, each of which ends when its time has come."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        faults: Mapping[str, Fault] | None = None,
        wrong_builds: Sequence[str] = (),
        lost_hosts: Sequence[str] = (),
        patch_exits: Mapping[str, Sequence[int]] | None = None,
        comes_back: Mapping[str, Mapping[str, object]] | None = None,
        **shown: Unpack[Shown],
    ) -> None:
        super().__init__(fleet, **shown)
        self.faults = dict(faults or {})
        self.wrong_builds = set(wrong_builds)
        self.lost_hosts = set(lost_hosts)
        self.patch_exits = {name: list(codes) for name, codes in (patch_exits or {}).items()}
        self.comes_back = dict(comes_back or {})
        self.started: dict[str, int] = {}
        self._future: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = 0
        self._attempts: dict[str, Attempt] = {}
        self._stops: dict[tuple[str, str], str] = {}  # (host, guest) -> who shut it down last

    def _at(self, seconds: float, then: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._future, (self.now + timedelta(seconds=seconds), self._number, then))

    def next_at(self) -> datetime | None:
        """When the next thing is due that the hosts have under way."""
        return self._future[0][0] if self._future else None

    def go_on_to(self, now: datetime) -> None:
        """Let happen what is due until then."""
        self.now = now
        while self._future and self._future[0][0] <= now:
            heapq.heappop(self._future)[2]()

    def attempt(self, attempt_id: str) -> Attempt | None:
        """What the host knows of an attempt."""
        return self._attempts.get(attempt_id)

    def stopped_on(self, host: str) -> set[str]:
        """Attempts that have shut a guest down there, as `agents.stops` tells of them."""
        return {name for (where, _), name in self._stops.items() if where == host}

    def start(self, order: Order) -> None:
        """Begin an attempt; a second start of the same one is what must never happen."""
        assert order.attempt_id not in self.started, "an attempt was started twice"
        self.started[order.attempt_id] = 1
        self.say(order, AttemptState.RUNNING)
        seconds, then = self._deeds()[order.kind](order)
        self._at(seconds, then)

    def say(
        self,
        order: Order,
        state: AttemptState,
        *,
        exit_code: int | None = None,
        text: str = "",
        refusal: RefusalCode | None = None,
        reason: str = "",
        tuning: Tuning | None = None,
    ) -> None:
        """Note how far an attempt has come."""
        place = (order.host, order.guest or "")
        if order.kind is Kind.STOP and exit_code == 0:
            self._stops[place] = order.attempt_id
        elif order.kind is Kind.START:
            self._stops.pop(place, None)
        self._attempts[order.attempt_id] = Attempt(
            attempt_id=order.attempt_id,
            kind=order.kind,
            state=state,
            guest=order.guest,
            guest_uuid=order.guest_uuid,
            exit_code=exit_code,
            output_tail=text,
            tuning=tuning,
            refusal=refusal,
            reason=reason,
            started_at=self.now,
            ended_at=self.now if state is AttemptState.ENDED else None,
        )

    def _deeds(self) -> dict[Kind, Callable[[Order], tuple[float, Callable[[], None]]]]:
        return {
            Kind.MOVE: self._move,
            Kind.STOP: self._stop,
            Kind.START: self._start,
            Kind.REBOOT: self._reboot,
            Kind.MEND: self._mend,
            Kind.RETUNE: self._retune,
            Kind.LIVEPATCH: self._patch,
            Kind.REVERT: self._revert,
        }

    def _move(self, order: Order) -> tuple[float, Callable[[], None]]:
        guest = self.guests[order.guest or ""]
        seconds = self.fleet.policy.move_s(guest.memory_mib)
        return seconds, lambda: self._arrive(order, guest)

    def _arrive(self, order: Order, guest: Guest) -> None:
        ending = self._ending(guest.name)
        if ending is None:
            self._drop(order.host, guest.name)
            self._boot_guest(guest, order.destination or "")
            before = self.hosts[order.host].tunings.pop(guest.name, USUAL)
            text = "Migration successful.\n"
            self.say(order, AttemptState.ENDED, exit_code=0, text=text, tuning=before)
            return
        kept = self.hosts[order.host].domains.get(guest.name)
        self._drop(order.host, guest.name)
        self._leave(guest, order.host, ending.here, kept)
        self._leave(guest, order.destination or "", ending.there, None)
        state = AttemptState.UNKNOWN if ending.exit_code is None else AttemptState.ENDED
        self.say(order, state, exit_code=ending.exit_code, text=ending.text)

    def _ending(self, guest: str) -> Ending | None:
        """How its next migration ends; a list of endings is used up one by one."""
        fault = self.faults.get(guest)
        if isinstance(fault, list):
            fault = fault.pop(0) if fault else None
        elif fault == "fails":
            del self.faults[guest]
        name = SHORT.get(fault or "", fault)
        return ENDINGS.get(name) if name else None

    def _leave(self, guest: Guest, where: str, copy: Copy | None, kept: Domain | None) -> None:
        """Put a copy of a guest onto a host, as a migration that went wrong leaves it."""
        if copy is None:
            return
        self._boot_guest(guest, where)
        made = self.hosts[where].domains.pop(guest.name)
        domid = kept.domid if kept and not copy.fresh else made.domid
        name = guest.name + copy.suffix
        facts = {"domid": domid, "name": name, "state": copy.state, "cpu_time_s": copy.cpu_time_s}
        self.hosts[where].domains[name] = made.model_copy(update=facts)
        if not copy.monitored:
            self.hosts[where].unmonitored.add(domid)

    def _stop(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            if self.faults.get(order.guest or "") != "stays_up":
                self._drop(order.host, order.guest or "")
            self.say(order, AttemptState.ENDED, exit_code=0)

        return self.fleet.policy.stop_s, then

    def _start(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            self._boot_guest(self.guests[order.guest or ""], order.host)
            self.say(order, AttemptState.ENDED, exit_code=0)

        return self.fleet.policy.start_s, then

    def _reboot(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]
        assert not host.domains, f"{host.name} reboots with {sorted(host.domains)}"
        host.up = False

        def then() -> None:
            if host.name in self.lost_hosts:
                return
            host.up, host.report = True, None
            host.boot += 1
            host.endings.clear()
            host.build = OLD if host.name in self.wrong_builds else NEW
            host.livepatches = ()
            for name, value in self.comes_back.get(host.name, {}).items():
                setattr(host, name, value)
            self.say(order, AttemptState.UNKNOWN)

        return self.fleet.policy.reboot_s, then

    def _mend(self, order: Order) -> tuple[float, Callable[[], None]]:
        assert isinstance(order.mend, MendAction)

        def then() -> None:
            host = self.hosts[order.host]
            name = next(n for n, d in host.domains.items() if d.domid == order.domid)
            domain = host.domains.pop(name)
            if order.mend is MendAction.RESUME_SOURCE:
                host.unmonitored.add(domain.domid)
            if order.mend in (MendAction.RESUME_SOURCE, MendAction.UNPAUSE):
                awake = {"name": order.guest, "state": RUNS, "cpu_time_s": 1.0}
                host.domains[order.guest or ""] = domain.model_copy(update=awake)
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=0)

        return 1.0, then

    def _patch(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]

        def then() -> None:
            codes = self.patch_exits.get(host.name, [])
            code = codes.pop(0) if codes else 0
            if not code:
                host.livepatches = (*host.livepatches, order.payload or "")
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=code, text="Applying... failed\n")

        return 2.0, then

    def _revert(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]

        def then() -> None:
            on_top = host.livepatches[-1:] == (order.payload,)
            if on_top:
                host.livepatches = host.livepatches[:-1]
            text = "" if on_top else "Error 16: Device or resource busy\n"
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=0 if on_top else 2, text=text)

        return 2.0, then

    def _retune(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            if self.faults.get(order.guest or "") == "stays_untuned":
                text = "Could not set affinity for vcpu `0'.\n"
                self.say(order, AttemptState.ENDED, exit_code=1, text=text)
                return
            assert order.tuning is not None and order.guest in self.hosts[order.host].domains
            self.tune(order.host, order.guest, order.tuning)
            self.say(order, AttemptState.ENDED, exit_code=0)

        return 1.0, then
