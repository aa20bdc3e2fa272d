"""`/api/v1/livepatches`: what is applied on which host, and taking it back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from agents.wire import PayloadName, Report
from scheduler.revert_store import RevertStore
from scheduler.reverts import PatchRow, Revert, RevertState, rows
from scheduler.service.access import Caller
from scheduler.service.api_fleet import Filter
from scheduler.service.deed import Deed, OnCallDeed, SecurityDeed
from scheduler.service.paging import Cursor, Limit, Page, page
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import Problem, conflict, no_such, short
from scheduler.service.shapes import HostName, Kept, Reason
from scheduler.service.veil import knows
from scheduler.veil import Veil, hidden

router = APIRouter(tags=["live patches"])


class PatchBody(BaseModel, extra="forbid"):
    """A live patch on one host."""

    host: HostName
    payload: Annotated[PayloadName, Field(description="As `livepatch list` names it.")]
    reason: Reason


class Reverting(BaseModel):
    """A revert that was written down."""

    revert: str  # its id
    host: str
    payload: str
    state: RevertState
    href: str


@router.get("/livepatches")
def livepatches(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100, host: Filter = None
) -> Page[PatchRow]:
    """Each live patch on each host: applied, being reverted, or reverted by a person."""
    found = rows(parts.views.fleet().reports, _store(parts).all())
    found = [row for row in found if host is None or row.host == host]
    shown, more = page(found, lambda row: (row.host, row.payload), cursor, limit)
    return Page(items=shown, next=more)


@router.post("/livepatches/actions/revert", status_code=202, response_model=Reverting)
def revert(body: PatchBody, deed: OnCallDeed) -> JSONResponse:
    """Have a host take a live patch back: it is exposed again, and no rollout loads it there
    until somebody allows it. What came of it stands in the list."""
    return deed.once(f"revert {body.model_dump_json()}", lambda: _revert(deed, body))


@router.post("/livepatches/actions/allow", response_model=Kept)
def allow(body: PatchBody, deed: SecurityDeed) -> JSONResponse:
    """Let rollouts load a reverted live patch on that host again; loads nothing by itself."""
    return deed.once(f"allow {body.model_dump_json()}", lambda: _allow(deed, body), 200)


def _store(parts: Service) -> RevertStore:
    return RevertStore(parts.store.client)


def _revert(deed: Deed, body: PatchBody) -> Reverting:
    parts, now = deed.parts, deed.parts.clock.now()
    entry = deed.note("livepatch.revert", f"{body.payload} on {body.host}", body.reason)
    try:
        report = _report(parts, body.host)
        payload = _applied(parts, deed.who, report, body.payload)
        asked = Revert(
            id=f"revert-{parts.new_id()}",
            host=body.host,
            payload=payload,
            build_id=report.build_id,
            by=deed.who.name,
            reason=body.reason,
            asked_at=now,
            since=now,
        )
        if open_one := _store(parts).ask(asked):
            said = f"{payload} on {body.host} is being reverted already, for {open_one.by}"
            raise conflict("already", said, [("state", str(open_one.state))])
    except Problem as problem:
        deed.refused(entry, problem.detail)
        raise
    return Reverting(
        revert=asked.id,
        host=asked.host,
        payload=body.payload,
        state=asked.state,
        href="/api/v1/livepatches",
    )


def _report(parts: Service, host: str) -> Report:
    """What the host shows, by an agent that can revert. Raises Problem 404, 409."""
    fleet = parts.views.fleet()
    if host not in fleet.hosts:
        raise no_such("host", host)
    report = fleet.reports.get(host)
    if report is None or fleet.trouble.get(host):
        why = fleet.trouble.get(host) or "it has never reported"
        raise conflict("silent", f"nobody can tell what is applied on {host}: {short(why)}")
    if not report.reverts:
        raise conflict("old_agent", f"the agent of {host} is too old to revert a live patch")
    return report


def _applied(parts: Service, who: Caller, report: Report, named: str) -> str:
    """The applied payload that this caller knows by this name. Raises Problem 409."""
    secret = [] if knows(who) else hidden([*parts.store.advisories().values()], parts.clock.now())
    veil = Veil(secret) if secret else str
    shown = {veil(name): name for name in report.livepatches}
    if named in shown:
        return shown[named]
    there = ", ".join(shown) or "none"
    said = f"{named} is not applied on {report.host}: there is nothing to revert"
    raise conflict("not_applied", f"{said} (applied: {there})", [("applied", there)])


def _allow(deed: Deed, body: PatchBody) -> Kept:
    entry = deed.note("livepatch.allow", f"{body.payload} on {body.host}", body.reason)
    before = _store(deed.parts).allow(body.host, body.payload)
    what = f"{body.payload} on {body.host}"
    if before is not None and before.state is RevertState.REVERTED:
        return Kept(kept=f"{what}: the next plan may load it again")
    if before is not None and before.open:
        said = f"{what} is being reverted: wait until that is over"
    else:
        said = f"{what} was not reverted: there is nothing to allow"
    deed.refused(entry, said)
    raise conflict("not_reverted", said)
