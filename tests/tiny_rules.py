"""Which single moves a tiny fleet allows: the rules of a plan, written down a second time."""

from __future__ import annotations

from collections.abc import Collection

from planner.fleet import Evacuation, Fleet

Place = tuple[int, ...]
"""The number of each guest's host."""


class Rules:
    """Which single moves and reboots are allowed, guests and hosts by number."""

    def __init__(self, fleet: Fleet, blocked: Collection[str]) -> None:
        self.fleet = fleet
        self.policy = fleet.policy
        self.hosts, self.guests = fleet.hosts, fleet.guests
        number = {host.name: n for n, host in enumerate(fleet.hosts)}
        self.start: Place = tuple(number[guest.host] for guest in fleet.guests)
        self.moves = [guest.evacuation is Evacuation.MOVE for guest in fleet.guests]
        held = {g.host for g in fleet.guests if g.evacuation is Evacuation.HOLD}
        self.goal = [
            host.reboot and host.name not in blocked and host.name not in held
            for host in fleet.hosts
        ]
        self.restarts = [
            any(g.host == host.name and g.evacuation is Evacuation.RESTART for g in fleet.guests)
            for host in fleet.hosts
        ]
        self.room_mib = [int(h.memory_mib * self.policy.max_fill + 1e-9) for h in fleet.hosts]
        self.room_vcpus = [int(h.cpus * self.policy.vcpus_per_cpu + 1e-9) for h in fleet.hosts]
        self.seconds = [self.policy.move_s(guest.memory_mib) for guest in fleet.guests]

    def xen(self, host: int, rebooted: Collection[int]) -> tuple[int, ...]:
        version = self.hosts[host].xen
        if host in rebooted and self.policy.xen_after:
            version = self.policy.xen_after
        return tuple(int(part) for part in version.split("."))

    def suits(self, guest: int, source: int, target: int, rebooted: Collection[int]) -> bool:
        """The way is allowed, whatever the room."""
        if source == target or self.hosts[source].pool != self.hosts[target].pool:
            return False
        if source in rebooted and self.hosts[target].reboot and target not in rebooted:
            return False
        if self.xen(target, rebooted) < self.xen(source, rebooted):
            return False
        return set(self.guests[guest].needs) <= set(self.hosts[target].offers)

    def fits(self, guest: int, target: int, there: Collection[int]) -> bool:
        """There is room for it beside the guests that are charged to the host."""
        mib = sum(self.guests[g].room_mib for g in there) + self.guests[guest].room_mib
        vcpus = sum(self.guests[g].vcpus for g in there) + self.guests[guest].vcpus
        if mib > self.room_mib[target] or vcpus > self.room_vcpus[target]:
            return False
        names = set(self.guests[guest].apart)
        return not any(names & set(self.guests[g].apart) for g in there)
