"""`/api/v1`: hosts and guests, as the agents report them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from agents.wire import GuestSeen, Report
from scheduler.closed import ClosedHost, closed_hosts
from scheduler.inventory import HostEntry
from scheduler.service.anyname import ANY_NAME
from scheduler.service.paging import Cursor, Limit, Page, page
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import Problem, no_such, short
from scheduler.service.shapes import GuestOut, HostDetail, HostOut, Me
from scheduler.service.views import FleetView

NEWEST = 4
"""So many rollouts are asked for a guest that no host shows."""

router = APIRouter(tags=["fleet"])

Name = Annotated[str, Path(max_length=1000)]
Filter = Annotated[str | None, Query(max_length=255)]


@router.get("/me")
def me(who: Viewer) -> Me:
    """Who you are, and which role you have."""
    return Me(name=who.name, role=str(who.role))


@router.get("/hosts")
def hosts(
    who: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    limit: Limit = 100,
    rollout: Filter = None,
    pool: Filter = None,
) -> Page[HostOut]:
    """Every host of the inventory, by name."""
    fleet = parts.views.fleet()
    entries = {entry.name: entry for entry in fleet.inventory.hosts}
    names = [
        name
        for name in fleet.hosts
        if (rollout is None or fleet.owners.get(name) == rollout)
        and (pool is None or entries[name].pool == pool)
    ]
    shown, more = page(names, lambda name: (name,), cursor, limit)
    return Page(items=[_host(fleet, entries[name]) for name in shown], next=more)


@router.get("/hosts/{name}")
def host(name: Name, who: Viewer, parts: Parts) -> HostDetail:
    """One host with its guests."""
    fleet = parts.views.fleet()
    if name not in fleet.hosts:
        raise no_such("host", name)
    return host_detail(fleet, name)


def host_detail(fleet: FleetView, name: str) -> HostDetail:
    """All that is known of a host of the inventory."""
    report = fleet.reports.get(name)
    return HostDetail(
        **_host(fleet, fleet.inventory.host(name)).model_dump(),
        boot_id=report.boot_id if report else "",
        offers=list(report.offers) if report else [],
        leftovers=list(report.leftovers) if report else [],
        boot_starts=list(report.boot_starts) if report else [],
        put_aside=list(report.put_aside) if report else [],
        attempts=list(report.attempts) if report else [],
        guests_seen=[fleet.as_classed(one) for one in report.guests] if report else [],
    )


def _host(fleet: FleetView, entry: HostEntry) -> HostOut:
    report: Report | None = fleet.reports.get(entry.name)
    return HostOut(
        name=entry.name,
        pool=entry.pool,
        group=entry.group,
        reported_at=report.taken_at if report else None,
        agent_version=report.agent_version if report else "",
        xen_version=report.xen_version if report else "",
        build_id=report.build_id if report else "",
        livepatches=list(report.livepatches) if report else [],
        memory_total_mib=report.memory_total_mib if report else 0,
        memory_free_mib=report.memory_free_mib if report else 0,
        cpus=report.cpus if report else 0,
        guests=len(report.guests) if report else 0,
        rollout=fleet.owners.get(entry.name),
        trouble=fleet.trouble.get(entry.name, ""),
    )


@router.get("/closed-hosts")
def hosts_closed(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[ClosedHost]:
    """Hosts that take no new guests now, by name: whoever places guests leaves them out."""
    found = closed_hosts(parts.store.client)
    shown, more = page(found, lambda one: (one.host,), cursor, limit)
    return Page(items=shown, next=more)


@router.get("/guests")
def guests(
    who: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    limit: Limit = 100,
    host: Filter = None,
    name: Filter = None,
) -> Page[GuestOut]:
    """Every guest by name; one that two hosts show is there twice."""
    fleet = parts.views.fleet()
    found = fleet.guests
    if name is not None:
        found = tuple(found[place] for place in fleet.where.get(name, ()))
    if host is not None:
        found = tuple(pair for pair in found if pair[0] == host)
    shown, more = page(found, lambda pair: (pair[1].name, pair[0]), cursor, limit)
    return Page(items=guests_out(fleet, shown), next=more)


def guests_out(fleet: FleetView, pairs: list[tuple[str, GuestSeen]]) -> list[GuestOut]:
    """Guests with their hosts and owners."""
    return [
        GuestOut(
            **fleet.as_classed(guest).model_dump(), host=host, owner=fleet.owner_of(guest.name)
        )
        for host, guest in pairs
    ]


@router.get(f"/guests/{ANY_NAME}")
def guest(name: Name, who: Viewer, parts: Parts) -> list[GuestOut]:
    """One guest: one element for each host that shows it, which should be one."""
    fleet = parts.views.fleet()
    places = fleet.where.get(name)
    if not places:
        raise nowhere(parts, name)
    return guests_out(fleet, [fleet.guests[place] for place in places])


def nowhere(parts: Service, name: str) -> Problem:
    """404 for a guest that no host shows, with what the newest rollouts know of it last."""
    for rollout_id in parts.store.ids()[: -NEWEST - 1 : -1]:
        record = parts.views.rollout(rollout_id).book.guests.get(name)
        if record is not None:
            known = f"rollout {rollout_id}: {record.reason or f'last on {record.host}'}"
            return Problem(404, "not_found", f"no host shows guest {short(name)} now; {known}")
    return no_such("guest", name)
