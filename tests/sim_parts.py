"""What `tests.sim` is made of: a host, an inventory, and what is the same everywhere."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agents.wire import (
    Domain,
    DomainEnd,
    Report,
    Tuning,
)
from planner.fleet import Evacuation, Fleet, Host
from scheduler.inventory import GuestEntry, HostEntry, Inventory

OLD, NEW = "0" * 40, "f" * 40
START = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)

USUAL = Tuning(pool="Pool-0", scheduler="credit2", weight=256, cap=0, online_vcpus=1)


@dataclass
class SimHost:
    """A host and the domains on it."""

    name: str
    memory_mib: int
    cpus: int
    xen: str
    build: str
    offers: tuple[str, ...]
    boot: int = 1
    up: bool = True
    next_domid: int = 1
    tunings: dict[str, Tuning] = field(default_factory=dict)  # of guests with more than the usual
    domains: dict[str, Domain] = field(default_factory=dict)  # by name as xl shows it
    report: Report | None = None
    livepatches: tuple[str, ...] = ()
    microcode: str = "0x10"
    endings: list[DomainEnd] = field(default_factory=list)
    trouble: tuple[str, ...] = ()  # what its agent cannot read
    unmonitored: set[int] = field(default_factory=set)  # domids that xl does not watch (any more)


def uuid_of(name: str) -> str:
    """The same name always gives the same UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


DOM0 = Domain(
    domid=0,
    name="Domain-0",
    uuid=uuid_of("dom0"),
    memory_mib=1024,
    vcpus=1,
    state="r-----",
    cpu_time_s=9.0,
)


def sim_host(host: Host) -> SimHost:
    build = OLD if host.reboot else NEW
    return SimHost(host.name, host.memory_mib, int(host.cpus), host.xen, build, offers=host.offers)


def inventory_of(fleet: Fleet, consents: Sequence[str]) -> Inventory:
    return Inventory(
        policy=fleet.policy,
        hosts=tuple(HostEntry(name=h.name, pool=h.pool, group=h.group) for h in fleet.hosts),
        guests=tuple(
            GuestEntry(
                name=g.name,
                apart=g.apart,
                evacuation=None if g.evacuation is Evacuation.MOVE else g.evacuation,
                if_refused="restart" if g.name in consents else "hold",
            )
            for g in fleet.guests
        ),
    )
