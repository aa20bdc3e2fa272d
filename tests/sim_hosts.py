"""The hosts of `tests.sim`: the domains on them, what people do to them, what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from agents.copies import Condition, condition
from agents.guest_facts import state_obstacles
from agents.leftovers import leftovers
from agents.wire import (
    Domain,
    DomainEnd,
    GuestSeen,
    Report,
    Tuning,
)
from planner.fleet import Evacuation, Fleet, Guest
from tests.sim_parts import DOM0, OLD, START, USUAL, SimHost, inventory_of, sim_host, uuid_of


class Shown(TypedDict, total=False):
    """What the hosts have at first.

    `consents`: guests that may be restarted; `payloads`: name -> SHA-256, on every host but
    `without_payloads`; `livepatches`: host -> what is applied there.
    """

    consents: Sequence[str]
    livepatches: Mapping[str, tuple[str, ...]] | None
    payloads: Mapping[str, str] | None
    without_payloads: Sequence[str]


class SimHosts:
    """The hosts of a fleet and the domains on them, at a moment."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        consents: Sequence[str] = (),
        livepatches: Mapping[str, tuple[str, ...]] | None = None,
        payloads: Mapping[str, str] | None = None,
        without_payloads: Sequence[str] = (),
    ) -> None:
        self.fleet = fleet
        self.now = START
        self.payloads = dict(payloads or {})
        self.without_payloads = set(without_payloads)
        self.guests = {guest.name: guest for guest in fleet.guests}
        self.hosts = {h.name: sim_host(h) for h in fleet.hosts}
        for name, applied in (livepatches or {}).items():
            self.hosts[name].livepatches = applied
        self.still: set[str] = set()  # guests whose CPU clock stands still
        self.uuids: dict[str, str] = {}  # of guests that had another name
        self.inventory = inventory_of(fleet, consents)
        for guest in fleet.guests:
            self._boot_guest(guest, guest.host)

    # What people do, and what happens by itself.

    def shut_down_by_owner(self, guest: str) -> None:
        """Its owner powers a guest off."""
        for host in self.hosts.values():
            self._drop(host.name, guest)

    def create(self, name: str, where: str) -> None:
        """Somebody starts a new guest of 1 GiB, of which no inventory knows anything."""
        facts = {"name": name, "memory_mib": 1024, "apart": (), "evacuation": Evacuation.MOVE}
        self.guests[name] = self.fleet.guests[0].model_copy(update=facts)
        self._boot_guest(self.guests[name], where)

    def restart(self, guest: str, reason_code: int | None = None) -> None:
        """It comes back as a new domain; xl's log says why where a code is given."""
        host = self._ends(guest, reason_code)
        self._boot_guest(self.guests[guest], host.name)

    def power_off(self, guest: str, reason_code: int | None = None) -> None:
        """It is gone; xl's log says why where a code is given."""
        self._ends(guest, reason_code)

    def kill_monitor(self, guest: str) -> None:
        """Somebody, or the kernel that lacks memory, ends xl's monitor of a guest."""
        host = self._host_of(guest)
        host.unmonitored.add(host.domains[guest].domid)
        host.report = None

    def crash_and_stay(self, guest: str) -> None:
        """It crashes, and its configuration says to keep what is left of it."""
        host = self._host_of(guest)
        crashed = host.domains[guest].model_copy(update={"state": "---sc-"})
        host.domains[guest], host.report = crashed, None

    def build_anew(self) -> None:
        """Another advisory: every host has to be rebooted once more."""
        for host in self.hosts.values():
            host.build, host.report = OLD, None

    def carry(self, guest: str, where: str) -> None:
        """Somebody else moves a guest."""
        self.shut_down_by_owner(guest)
        self._boot_guest(self.guests[guest], where)

    def lose_power(self, name: str) -> None:
        """A host dies with everything on it."""
        host = self.hosts[name]
        host.up, host.report = False, None
        host.domains.clear()

    def power_on(self, name: str) -> None:
        """A host is there again, with nothing on it."""
        host = self.hosts[name]
        host.up, host.report = True, None
        host.boot += 1

    def reboot_by_itself(self, name: str) -> None:
        """A host that nobody told to: its guests start again, its live patches do not."""
        host = self.hosts[name]
        host.boot += 1
        host.livepatches, host.report = (), None

    def shows(self, name: str, **fields: object) -> None:
        """Something about a host changes by itself, or by a person's hand."""
        for field_name, value in fields.items():
            setattr(self.hosts[name], field_name, value)
        self.hosts[name].report = None

    def tune(self, host: str, guest: str, tuning: Tuning) -> None:
        """Give a guest a share of the CPUs that no migration brings along."""
        self.hosts[host].tunings[guest] = tuning
        self.hosts[host].report = None

    def _host_of(self, guest: str) -> SimHost:
        return next(host for host in self.hosts.values() if guest in host.domains)

    def _ends(self, guest: str, reason_code: int | None) -> SimHost:
        host = self._host_of(guest)
        if reason_code is not None:
            domid = host.domains[guest].domid
            host.endings.append(DomainEnd(domid=domid, name=guest, reason_code=reason_code))
        self._drop(host.name, guest)
        return host

    def _boot_guest(self, guest: Guest, where: str) -> None:
        host = self.hosts[where]
        host.domains[guest.name] = Domain(
            domid=host.next_domid,
            name=guest.name,
            uuid=self.uuids.get(guest.name) or uuid_of(guest.name),
            memory_mib=guest.memory_mib,
            vcpus=guest.vcpus,
            state="-b----",
            cpu_time_s=1.0,
        )
        host.next_domid += 1
        host.report = None

    def _drop(self, where: str, guest: str) -> None:
        self.hosts[where].domains.pop(guest, None)
        self.hosts[where].report = None

    # What a host shows.

    def report_of(self, host: SimHost) -> Report:
        """What the host shows, made anew only after something changed."""
        if host.report is None:
            host.report = self.look(host)
        return host.report

    def look(self, host: SimHost) -> Report:
        """One look at a host."""
        left = leftovers(tuple(host.domains.values()))
        own = {n: domain for n, domain in host.domains.items() if n in self.guests}
        seen = [self._seen(self.guests[name], domain, host) for name, domain in own.items()]
        held_mib = sum(guest.memory_mib + guest.overhead_mib for guest in seen)
        held_mib += sum(d.memory_mib for n, d in host.domains.items() if n not in own)
        return Report(
            host=host.name,
            agent_version="sim",
            agent_id="sim",
            sequence=1,
            answers=0,
            taken_at=self.now,
            boot_id=f"{host.name}-{host.boot}",
            xen_version=f"{host.xen}.7",
            build_id=host.build,
            livepatches=host.livepatches,
            payloads={} if host.name in self.without_payloads else dict(self.payloads),
            reverts=True,
            cpu_vendor="GenuineIntel",
            cpu_signature="06-55-07",
            microcode=host.microcode,
            memory_total_mib=host.memory_mib + 1024,
            memory_free_mib=host.memory_mib - held_mib,
            cpus=host.cpus,
            domains=(DOM0, *map(self._ticked, host.domains.values())),
            endings=tuple(host.endings),
            guests=tuple(seen),
            leftovers=left,
            offers=host.offers,
            trouble=host.trouble,
        )

    def _ticked(self, domain: Domain) -> Domain:
        if domain.name in self.still or condition(domain.state) is not Condition.RUNS:
            return domain
        ran_s = 1.0 + (self.now - START).total_seconds() / 10
        return domain.model_copy(update={"cpu_time_s": ran_s})

    def _seen(self, guest: Guest, domain: Domain, host: SimHost) -> GuestSeen:
        return GuestSeen(
            name=guest.name,
            uuid=domain.uuid,
            domid=domain.domid,
            type="pvh",
            vcpus=guest.vcpus,
            memory_mib=guest.memory_mib,
            overhead_mib=guest.overhead_mib,
            needs=guest.needs,
            guest_class=guest.guest_class,
            state=domain.state,
            tuning=host.tunings.get(guest.name, USUAL),
            monitored=domain.domid not in host.unmonitored,
            obstacles=tuple(state_obstacles(domain)),
            config_path=f"/etc/xen/{guest.name}.cfg",
        )
