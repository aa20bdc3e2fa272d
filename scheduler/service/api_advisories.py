"""`/api/v1/advisories`: what the fleet is rolled for, and where each host stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from scheduler.advisory import Advisory, Standing, count, standing
from scheduler.service.access import Caller
from scheduler.service.paging import Cursor, Limit, Page, page
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import no_such
from scheduler.service.veil import knows

router = APIRouter(tags=["advisories"])


class AdvisoryOut(BaseModel):
    """An advisory, under its codename as long as the caller may not know it."""

    name: str
    title: str
    cves: list[str]
    deadline: datetime | None
    embargo_until: datetime | None
    fixed_builds: list[str]
    fixed_version: str | None
    livepatches: dict[str, str]  # running build -> its payload
    affects: list[str]
    hosts: dict[str, int]  # by exposure


class HostStanding(Standing):
    """Where one host stands to an advisory."""

    host: str


Name = Annotated[str, Path(max_length=200)]


@router.get("/advisories")
def advisories(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[AdvisoryOut]:
    """Every advisory, by name."""
    now, known = parts.clock.now(), parts.store.advisories().values()
    named = sorted((one.shown(now, knows(who)), place, one) for place, one in enumerate(known))
    shown, more = page(named, lambda row: (row[0], f"{row[1]:09}"), cursor, limit)
    return Page(items=[_out(parts, name, one) for name, _, one in shown], next=more)


@router.get("/advisories/{name}")
def advisory(name: Name, who: Viewer, parts: Parts) -> AdvisoryOut:
    """One advisory, by the name that the caller may know, or by its codename."""
    return _out(parts, *_known(parts, who, name))


@router.get("/advisories/{name}/hosts")
def standings(
    name: Name, who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[HostStanding]:
    """Each host that has reported: exposed, live-patched, fixed or not affected, and why."""
    shown_as, one = _known(parts, who, name)
    reports = parts.views.fleet().reports
    shown, more = page(sorted(reports), lambda host: (host,), cursor, limit)
    told = {host: standing(one, reports[host]).model_dump() for host in shown}
    rows = [HostStanding(**told[host] | {"advisory": shown_as, "host": host}) for host in shown]
    return Page(items=rows, next=more)


def _known(parts: Service, who: Caller, name: str) -> tuple[str, Advisory]:
    """The advisory of this name, and what this caller calls it. Raises Problem 404.

    A codename is good for everybody and for ever: people who may know more hear it from those who
    may not, and it stands in notes that were taken before the hour.
    """
    now, known = parts.clock.now(), parts.store.advisories().values()
    named = [(one.shown(now, knows(who)), one) for one in known]
    called = [(shown_as, one) for shown_as, one in named if name == one.codename]
    for shown_as, one in [(said, one) for said, one in named if said == name] + called:
        return shown_as, one
    raise no_such("advisory", name)


def _out(parts: Service, name: str, one: Advisory) -> AdvisoryOut:
    secret = name != one.id
    reports = parts.views.fleet().reports
    return AdvisoryOut(
        name=name,
        title="" if secret else one.title,
        cves=[] if secret else list(one.cves),
        deadline=one.deadline,
        embargo_until=one.embargo_until,
        fixed_builds=[] if secret else list(one.fixed_builds),
        fixed_version=None if secret else one.fixed_version,
        livepatches={} if secret else one.livepatches,
        affects=[] if secret else list(one.affects),
        hosts=count({host: standing(one, report) for host, report in reports.items()}),
    )
