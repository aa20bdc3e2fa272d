"""`/api/v1`: who ended after a move or otherwise, over all rollouts, and classes that must rest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from scheduler.classes import ClassView
from scheduler.comparison import Comparison
from scheduler.crash_views import CrashList, class_list, crash_compare, crash_list
from scheduler.service.parts import Parts, Security, Service, Viewer
from scheduler.service.problem import conflict, short
from scheduler.service.repeat import IdempotencyKey, Once
from scheduler.service.shapes import Kept, Reason
from scheduler.watch_store import WatchStore

router = APIRouter(tags=["crashes"])

Days = Annotated[int, Query(ge=1, le=400, description="Of the newest days.")]


class ReleaseBody(BaseModel, extra="forbid"):
    """A class that may be moved again."""

    guest_class: Annotated[str, Field(min_length=1, max_length=1000)]
    reason: Reason


def _watch(parts: Service) -> WatchStore:
    return WatchStore(parts.store.client, parts.store.writer)


@router.get("/crash-watch")
def crash_watch(
    who: Viewer,
    parts: Parts,
    days: Days = 30,
    everything: Annotated[bool, Query(description="Reboots that were asked for, too.")] = False,
) -> CrashList:
    """Guests that crashed, or ended for an unknown cause, with the moves they are put down to."""
    return crash_list(_watch(parts), parts.clock.now(), days, everything=everything)


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
def guest_classes(who: Viewer, parts: Parts) -> list[ClassView]:
    """Each class and pair of builds: moves, crashes, hours, and whether it is quarantined."""
    return class_list(_watch(parts))


@router.post("/classes/actions/release", response_model=Kept)
def release(
    body: ReleaseBody,
    request: Request,
    who: Security,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Let a quarantined class be moved again; its crashes so far are forgiven."""

    def do() -> JSONResponse:
        held, now = _watch(parts), parts.clock.now()
        entry = parts.note(request, who, "class.release", body.guest_class, body.reason)
        if not held.release(body.guest_class, who.name, body.reason, now):
            resting = sorted(m.guest_class for m in held.marks().values() if m.quarantine)
            said = f"class {short(body.guest_class)} is not quarantined"
            parts.audit.write(entry.model_copy(update={"outcome": f"refused: {said}"}))
            names = f"; quarantined: {short(', '.join(resting))}" if resting else "; no class is"
            raise conflict("not_quarantined", said + names)
        said = f"class {short(body.guest_class)} released: its guests are planned for again"
        return JSONResponse(Kept(kept=said).model_dump())

    return Once(parts.store.client, who.token_id).act(idempotency_key, body.model_dump_json(), do)
