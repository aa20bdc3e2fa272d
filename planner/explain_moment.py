"""One moment of a plan: where every guest is by the estimate, and what each host could take."""

from __future__ import annotations

from dataclasses import dataclass

from planner.fleet import Fleet, Guest, Host
from planner.plan import Plan, Step, StepKind


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host for a guest: what speaks against it, and what it is short of for the guest.

    `note` is what does not forbid the move, such as that the host waits for its own reboot.
    """

    host: str
    obstacles: tuple[str, ...]
    short_mib: int
    short_vcpus: int
    note: str = ""

    @property
    def fits(self) -> bool:
        """Nothing speaks against it."""
        return not self.obstacles

    @property
    def short(self) -> str:
        """The amounts that it is short of, such as `512 MiB and 2 vCPUs`."""
        amounts = ((self.short_mib, "MiB"), (self.short_vcpus, "vCPUs"))
        return " and ".join(f"{amount} {unit}" for amount, unit in amounts if amount)

    @property
    def only_room(self) -> bool:
        """Only room is missing."""
        return all(obstacle.endswith(" short") for obstacle in self.obstacles)


class Moment:
    """The fleet when a plan's estimate is at `at_s`; guests on their way count at both ends.

    `before` is the id of a step that starts just then and is not counted yet.
    """

    def __init__(self, fleet: Fleet, plan: Plan, at_s: float, before: str | None = None) -> None:
        self._fleet = fleet
        self._guests = {guest.name: guest for guest in fleet.guests}
        self.place = {guest.name: guest.host for guest in fleet.guests}
        self._charged = {host.name: [0, 0] for host in fleet.hosts}
        self._there: dict[str, set[str]] = {host.name: set() for host in fleet.hosts}
        self._back: set[str] = set()
        self._away: dict[str, float] = {}
        self._blocked = {entry.host for entry in plan.blocked}
        for guest in fleet.guests:
            self._charge(guest.host, guest, 1)
        for step in sorted(plan.steps, key=lambda step: step.start_s):
            if step.id == before:
                break
            if step.start_s <= at_s:
                self._apply(step, at_s)

    def _charge(self, host: str, guest: Guest, sign: int) -> None:
        self._charged[host][0] += sign * guest.room_mib
        self._charged[host][1] += sign * guest.vcpus
        (self._there[host].add if sign > 0 else self._there[host].discard)(guest.name)

    def _apply(self, step: Step, at_s: float) -> None:
        if step.kind is StepKind.REBOOT and step.host is not None:
            if step.end_s <= at_s:
                self._back.add(step.host)
            else:
                self._away[step.host] = step.end_s
        if step.kind is not StepKind.MOVE or step.guest is None:
            return
        guest = self._guests[step.guest]
        if step.destination is not None and step.source is not None:
            self._charge(step.destination, guest, 1)
            if step.end_s <= at_s:
                self._charge(step.source, guest, -1)
            self.place[guest.name] = step.destination

    def candidates(self, guest: Guest, source: str) -> tuple[Candidate, ...]:
        """Every other host of the pool: first those that fit, then by what they are short of."""
        hosts = {host.name: host for host in self._fleet.hosts}
        found = [
            self._candidate(guest, hosts[source], host)
            for host in self._fleet.hosts
            if host.name != source and host.pool == hosts[source].pool
        ]
        return tuple(
            sorted(found, key=lambda c: (len(c.obstacles), c.short_mib, c.short_vcpus, c.host))
        )

    def _candidate(self, guest: Guest, source: Host, host: Host) -> Candidate:
        policy = self._fleet.policy
        mib, vcpus = self._charged[host.name]
        room_mib = int(host.memory_mib * policy.max_fill + 1e-9)
        room_vcpus = int(host.cpus * policy.vcpus_per_cpu + 1e-9)
        short_mib = max(0, mib + guest.room_mib - room_mib)
        short_vcpus = max(0, vcpus + guest.vcpus - room_vcpus)
        obstacles = self._rules(guest, source, host)
        obstacles += [f"{short_mib} MiB short"] * (short_mib > 0)
        obstacles += [f"{short_vcpus} vCPUs short"] * (short_vcpus > 0)
        waits = host.reboot and host.name not in self._back | self._blocked
        note = "waits for its own reboot: the guest would have to move again" if waits else ""
        return Candidate(host.name, tuple(obstacles), short_mib, short_vcpus, note)

    def _rules(self, guest: Guest, source: Host, host: Host) -> list[str]:
        """The rules other than room that forbid the move now."""
        obstacles = []
        lacks = sorted(set(guest.needs) - set(host.offers))
        if lacks:
            obstacles.append(f"does not offer {', '.join(lacks)}")
        near = self._too_near(guest, host)
        if near:
            obstacles.append(f"has to be apart from {', '.join(near)}")
        if self._xen(host) < self._xen(source):
            obstacles.append("runs a lower Xen")
        if host.name in self._away:
            obstacles.append(f"its reboot lasts until {self._away[host.name]:.0f} s")
        elif source.name in self._back and host.reboot and host.name not in self._back:
            obstacles.append("has not had its reboot, the source has")
        return obstacles

    def _too_near(self, guest: Guest, host: Host) -> list[str]:
        names = set(guest.apart)
        if not names:
            return []
        return sorted(
            other
            for other in self._there[host.name]
            if other != guest.name and names & set(self._guests[other].apart)
        )

    def _xen(self, host: Host) -> tuple[int, ...]:
        after = self._fleet.policy.xen_after
        version = after if after and host.name in self._back else host.xen
        return tuple(int(part) for part in version.split("."))
