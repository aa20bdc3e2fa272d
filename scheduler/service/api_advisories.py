"""`/api/v1/advisories`: what the fleet is rolled for, and where each host stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from scheduler.advisory import Advisory, Standing, count, standing
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


class AdvisoryDetail(AdvisoryOut):
    """With where each host stands."""

    standings: dict[str, Standing]  # by host


@router.get("/advisories")
def advisories(who: Viewer, parts: Parts) -> list[AdvisoryOut]:
    """Every advisory, by name."""
    found = [_detail(parts, one, knows(who)) for one in parts.store.advisories().values()]
    plain = [AdvisoryOut(**one.model_dump(exclude={"standings"})) for one in found]
    return sorted(plain, key=lambda one: one.name)


@router.get("/advisories/{name}")
def advisory(
    name: Annotated[str, Path(max_length=200)], who: Viewer, parts: Parts
) -> AdvisoryDetail:
    """One advisory, by the name that the caller may know."""
    for one in parts.store.advisories().values():
        if one.shown(parts.clock.now(), knows(who)) == name:
            return _detail(parts, one, knows(who))
    raise no_such("advisory", name)


def _detail(parts: Service, one: Advisory, known: bool) -> AdvisoryDetail:
    now = parts.clock.now()
    fleet = parts.views.fleet()
    name = one.shown(now, known)
    secret = name != one.id
    standings = {
        host: standing(one, report).model_copy(update={"advisory": name})
        for host, report in fleet.reports.items()
    }
    return AdvisoryDetail(
        name=name,
        title="" if secret else one.title,
        cves=[] if secret else list(one.cves),
        deadline=one.deadline,
        embargo_until=one.embargo_until,
        fixed_builds=[] if secret else list(one.fixed_builds),
        fixed_version=None if secret else one.fixed_version,
        livepatches={} if secret else one.livepatches,
        affects=[] if secret else list(one.affects),
        hosts=count(standings),
        standings=standings,
    )
