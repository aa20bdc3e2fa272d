"""From what the hosts show and the inventory says to a fleet document that can be planned.

Pure. Refuses with names where a look is missing or two things contradict: a plan made on doubt
would be carried out in doubt.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.wire import GuestSeen, Leftover, Report
from planner.fleet import FLEET_FORMAT, Evacuation, Fleet, FleetError, Policy, load_fleet
from scheduler.advisory import Advisory, Exposure, carriers, standing
from scheduler.choice import Choice, Way, Withheld
from scheduler.inventory import GuestEntry, Inventory
from scheduler.livepatching import choice_of, stays_in_scope
from scheduler.rollout import GuestRecord, HostRecord, HostState

UNAFFECTED = Exposure.NOT_AFFECTED


@dataclass(frozen=True)
class Scope:
    """What a rollout is about: the hosts it may touch, and what counts as fixed."""

    fixed_builds: tuple[str, ...]
    policy: Policy
    guests: Mapping[str, GuestRecord] = field(default_factory=dict)
    advisories: tuple[Advisory, ...] = ()
    hosts: Mapping[str, HostRecord] = field(default_factory=dict)  # of a rollout under way
    livepatch: bool = False
    withheld: Mapping[str, tuple[Withheld, ...]] = field(default_factory=dict)  # of hosts

    def choice(self, report: Report) -> Choice:
        """What is done about this host, and why."""
        known, builds = self._of(report), self.fixed_builds
        kept = self.withheld.get(report.host, ())
        return choice_of(self.advisories, builds, self.livepatch, report, known, kept)

    def _of(self, report: Report) -> HostRecord | None:
        return self.hosts.get(report.host)

    @property
    def shunned(self) -> frozenset[str]:
        """Hosts that came back without something, or are left out and still in their reboot, which
        keeps them in the plan: no guest is sent there."""
        return frozenset(name for name, host in self.hosts.items() if host.lacking or _leaves(host))

    def to_reboot(self, report: Report) -> bool:
        """Whether this host has to come onto another build."""
        return report.host not in self.shunned and self.choice(report).way is Way.REBOOT

    def carrier_tags(self, report: Report) -> list[str]:
        """What a host offers to guests of a type that would make an unaffected host exposed."""
        kinds = carriers(self.advisories)
        stays = stays_in_scope(self._of(report))
        if any(standing(one, report, stays).exposure is UNAFFECTED for one in self.advisories):
            return []
        return [f"may-carry:{kind}" for kind in sorted(kinds)]


def _leaves(host: HostRecord) -> bool:
    return host.left_out is not None and host.state is HostState.REBOOTING


class FleetDoubt(Exception):
    """The fleet cannot be planned on what is seen; `problems` names hosts and guests."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def fleet_document(
    reports: Sequence[Report], inventory: Inventory, scope: Scope, now: datetime
) -> bytes:
    """The fleet file's bytes for these hosts. Raises FleetDoubt."""
    problems = [*_troubled(reports), *_same_names(reports)]
    if problems:
        raise FleetDoubt(problems)
    entries = {guest.name: guest for guest in inventory.guests}
    avoided = {name for guest in scope.guests.values() for name in guest.avoid} | scope.shunned
    document = {
        "format": FLEET_FORMAT,
        "taken_at": now.isoformat(),
        "policy": scope.policy.model_dump(mode="json"),
        "hosts": [_host(r, inventory, scope, avoided) for r in reports],
        "guests": [
            *(_guest(g, r, entries, scope) for r in reports for g in r.guests),
            *(_leftover(left, r) for r in reports for left in lost(r)),
        ],
    }
    return json.dumps(document).encode()


def fleet_from(document: bytes) -> Fleet:
    """The fleet of a document made here. Raises FleetDoubt."""
    try:
        return load_fleet(document)
    except FleetError as error:
        raise FleetDoubt(error.problems) from None


def _troubled(reports: Sequence[Report]) -> list[str]:
    return [f"{report.host}: {report.trouble[0]}" for report in reports if report.trouble]


def _same_names(reports: Sequence[Report]) -> list[str]:
    """Guests that two hosts show: two copies of one, or two of one name."""
    where: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for report in reports:
        for guest in report.guests:
            where[guest.name].append((report.host, guest.uuid))
    return [_twice(name, shown) for name, shown in sorted(where.items()) if len(shown) > 1]


def _twice(name: str, shown: Sequence[tuple[str, str]]) -> str:
    text = f"guest {name} is on {' and on '.join(host for host, _ in shown)}"
    if len({uuid for _, uuid in shown}) < len(shown):
        return f"{text}, two copies of one guest: xenroll guest evidence {name}"
    return f"{text}, two guests of one name: rename one, or leave a host out"


def _host(report: Report, inventory: Inventory, scope: Scope, avoided: set[str]) -> dict[str, Any]:
    entry = inventory.host(report.host)
    avoid_tags = [f"not:{name}" for name in sorted(avoided) if name != report.host]
    return {
        "name": report.host,
        "pool": entry.pool,
        "group": entry.group,
        "memory_mib": memory_mib(report),
        "cpus": report.cpus,
        "xen": report.xen,
        "reboot": scope.to_reboot(report),
        "offers": sorted({*report.offers, *entry.offers, *avoid_tags, *scope.carrier_tags(report)}),
    }


def lost(report: Report) -> list[Leftover]:
    """Leftovers that are in no list of guests: a crashed guest under its own name is in both."""
    guests = {guest.domid for guest in report.guests}
    return [left for left in report.leftovers if left.domid not in guests]


def memory_mib(report: Report) -> int:
    """Memory for guests when the host is empty: what is free, and what its guests hold now."""
    dom0_mib = sum(domain.memory_mib for domain in report.domains if domain.domid == 0)
    held_mib = sum(guest.memory_mib + guest.overhead_mib for guest in report.guests)
    held_mib += sum(left.memory_mib for left in lost(report))
    # The overheads are upper bounds, so the sum may not exceed what the machine has.
    return max(held_mib, min(report.memory_free_mib + held_mib, report.memory_total_mib - dom0_mib))


def _guest(
    guest: GuestSeen, report: Report, entries: Mapping[str, GuestEntry], scope: Scope
) -> dict[str, Any]:
    entry = entries.get(guest.name) or GuestEntry(name=guest.name)
    record = scope.guests.get(guest.name)
    avoid = {*(record.avoid if record else ()), *(scope.shunned - {report.host})}
    tags = [f"not:{name}" for name in sorted(avoid)]
    if guest.type in carriers(scope.advisories):
        tags.append(f"may-carry:{guest.type}")
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "host": report.host,
        "vcpus": guest.vcpus,
        "memory_mib": guest.memory_mib,
        "overhead_mib": guest.overhead_mib,
        "needs": sorted({*guest.needs, *entry.needs, *tags}),
        "apart": list(entry.apart),
        "class": entry.guest_class or guest.guest_class,
        "evacuation": str(evacuation(guest, entry, record)),
    }


def evacuation(guest: GuestSeen, entry: GuestEntry, record: GuestRecord | None) -> Evacuation:
    """What is to be done with a guest: the owner's word, bounded by what is possible.

    A guest that cannot be moved is restarted only with its owner's consent, and only if there is
    a configuration file to start it from; otherwise it is left alone, which blocks its host.
    """
    if record and record.evacuation == Evacuation.HOLD:
        return Evacuation.HOLD
    wish = entry.evacuation or Evacuation.MOVE
    cannot_move = any(obstacle.lasting for obstacle in guest.obstacles)
    gave_up = record is not None and record.evacuation == "give_up"
    if wish is Evacuation.MOVE and (cannot_move or gave_up):
        wish = Evacuation.RESTART if entry.if_refused == "restart" else Evacuation.HOLD
    if wish is Evacuation.RESTART and guest.config_path is None:
        return Evacuation.HOLD
    return wish


def _leftover(left: Leftover, report: Report) -> dict[str, Any]:
    """A leftover takes room and must not be touched: it blocks its host until it is settled."""
    return {
        "name": f"{left.name} ({left.kind} on {report.host})",
        "uuid": left.uuid,
        "host": report.host,
        "vcpus": 0,
        "memory_mib": left.memory_mib,
        "overhead_mib": 0,
        "needs": [],
        "apart": [],
        "class": None,
        "evacuation": "hold",
    }
