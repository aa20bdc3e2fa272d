"""`/api/v1`: who ended after a move or otherwise, over all rollouts, and classes that must rest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from scheduler.classes import ClassView
from scheduler.comparison import Comparison
from scheduler.crash_views import CrashList, class_list, crash_compare, crash_list
from scheduler.rollout import Happening
from scheduler.service.deed import Deed, SecurityDeed
from scheduler.service.paging import Cursor, Limit, Page, page, page_of_log
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import conflict, short
from scheduler.service.shapes import Kept, Reason
from scheduler.watch_store import WatchStore
from scheduler.watched import Trial

router = APIRouter(tags=["crashes"])

Days = Annotated[int, Query(ge=1, le=400, description="Of the newest days.")]


class ReleaseBody(BaseModel, extra="forbid"):
    """A class that may be moved again."""

    guest_class: Annotated[str, Field(min_length=1, max_length=1000)]
    reason: Reason


class CrashPage(CrashList):
    """Endings in pages; quiet guests and events are on the first one."""

    quiet: tuple[Trial, ...] = ()
    events: tuple[Happening, ...] = ()
    next: str | None


def _watch(parts: Service) -> WatchStore:
    return WatchStore(parts.store.client, parts.store.writer)


@router.get("/crash-watch")
def crash_watch(
    who: Viewer,
    parts: Parts,
    days: Days = 30,
    everything: Annotated[bool, Query(description="Reboots that were asked for, too.")] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> CrashPage:
    """Guests that crashed, or ended for an unknown cause, with the moves they are put down to."""
    found = crash_list(_watch(parts), parts.clock.now(), days, everything=everything)
    shown, more = page_of_log(found.endings, lambda ending: (ending.id,), cursor, limit)
    facts = found.model_dump(include={"days", "watched"})
    rest = {} if cursor else {"quiet": found.quiet, "events": found.events}
    return CrashPage(**facts, **rest, endings=tuple(shown), next=more)


@router.get("/crash-comparison")
def crash_comparison(
    who: Viewer,
    parts: Parts,
    days: Days = 90,
    confidence: Annotated[float, Query(ge=0.5, le=0.9999)] = 0.95,
    with_unknown: Annotated[bool, Query(description="Endings of unknown cause, too.")] = False,
) -> Comparison:
    """Do guests that were moved crash more often later than others? Hazard ratio and interval."""
    now = parts.clock.now()
    return crash_compare(_watch(parts), now, days, confidence=confidence, with_unknown=with_unknown)


@router.get("/classes")
def guest_classes(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[ClassView]:
    """Each class and pair of builds: moves, crashes, hours, and whether it is quarantined."""
    found = class_list(_watch(parts))
    shown, more = page(found, _builds, cursor, limit)
    return Page(items=shown, next=more)


def _builds(one: ClassView) -> tuple[str, str, str]:
    return one.guest_class, one.build_from, one.build_to


@router.post("/classes/actions/release", response_model=Kept)
def release(body: ReleaseBody, deed: SecurityDeed) -> JSONResponse:
    """Let a quarantined class be moved again; its crashes so far are forgiven."""
    return deed.once(body.model_dump_json(), lambda: _release(deed, body), 200)


def _release(deed: Deed, body: ReleaseBody) -> Kept:
    held, now = _watch(deed.parts), deed.parts.clock.now()
    entry = deed.note("class.release", body.guest_class, body.reason)
    if held.release(body.guest_class, deed.who.name, body.reason, now):
        said = f"class {short(body.guest_class)} released: its guests are planned for again"
        return Kept(kept=said)
    resting = sorted(mark.guest_class for mark in held.marks().values() if mark.quarantine)
    said = f"class {short(body.guest_class)} is not quarantined"
    deed.refused(entry, said)
    names = f"; quarantined: {short(', '.join(resting))}" if resting else "; no class is"
    raise conflict("not_quarantined", said + names)
