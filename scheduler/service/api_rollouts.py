"""`/api/v1/rollouts`: reading rollouts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from agents.wire import Kind, Wanted
from scheduler.forecast import Forecast
from scheduler.forecast_pause import PauseCost
from scheduler.progress import Progress, WaveView
from scheduler.rollout import GuestRecord, HostRecord, Rollout, Step, StepState
from scheduler.service.exposure import Curve
from scheduler.service.feed import LiveEvent
from scheduler.service.paging import Cursor, Limit, Page, encode, page, page_of_log, stream_place
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import no_such
from scheduler.service.shapes import CrashOut, PlanOut, RolloutOut, Starting
from scheduler.service.streams import Line, Streams
from scheduler.store import NoRollout

router = APIRouter(tags=["rollouts"])

Id = Annotated[str, Path(max_length=160)]
Filter = Annotated[str | None, Query(max_length=255)]
ForS = Annotated[float, Query(ge=1, le=1e7, description="How long, in seconds.")]


def rollout_out(parts: Service, head: Rollout) -> RolloutOut:
    """A head, with what is wanted of it at this very moment."""
    control = parts.store.control(head.id)
    return RolloutOut(
        **head.model_dump(),
        wanted_now=Wanted(control.get("wanted", head.wanted)),
        epoch_now=int(control.get("epoch", head.epoch)),
    )


@router.get("/rollouts")
def rollouts(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[RolloutOut]:
    """Every rollout, the newest first."""
    ids = parts.store.ids()[::-1]
    shown, more = page_of_log(ids, lambda name: (name,), cursor, limit)
    return Page(items=[rollout_out(parts, parts.store.head(name)) for name in shown], next=more)


@router.get("/rollouts/{rollout_id}")
def rollout(rollout_id: Id, who: Viewer, parts: Parts) -> RolloutOut:
    """One rollout's head."""
    return rollout_out(parts, parts.store.head(rollout_id))


@router.get("/rollouts/{rollout_id}/progress")
def rollout_progress(rollout_id: Id, who: Viewer, parts: Parts) -> Progress:
    """How far it has come, and what holds it."""
    return parts.views.rollout(rollout_id).progress


@router.get("/rollouts/{rollout_id}/exposure")
def exposure(rollout_id: Id, who: Viewer, parts: Parts) -> Curve:
    """The burn-down of exposed hosts and guests, and when it will reach its end."""
    return parts.views.rollout(rollout_id).curve


@router.get("/rollouts/{rollout_id}/forecast")
async def rollout_forecast(rollout_id: Id, who: Viewer, parts: Parts) -> Forecast:
    """When it will have ended (p50 and p90), who misses the deadline, what would make it."""
    return await parts.forecasts.forecast(rollout_id)


@router.get("/rollouts/{rollout_id}/pause-cost")
async def rollout_pause_cost(
    rollout_id: Id,
    who: Viewer,
    parts: Parts,
    for_s: ForS = 3600.0,
) -> PauseCost:
    """What a pause from now on costs: how much later it ends, which hosts stay half emptied."""
    return await parts.forecasts.pause_cost(rollout_id, for_s)


@router.get("/rollouts/{rollout_id}/waves")
def waves(
    rollout_id: Id, who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[WaveView]:
    """How far each wave has come, in their order."""
    found = parts.views.rollout(rollout_id).progress.waves
    shown, more = page_of_log(found, lambda wave: (str(wave.number),), cursor, limit)
    return Page(items=shown, next=more)


@router.get("/rollouts/{rollout_id}/hosts")
def rollout_hosts(
    rollout_id: Id, who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[HostRecord]:
    """Where each host stands, by name."""
    found = parts.views.rollout(rollout_id).progress.hosts
    shown, more = page(found, lambda host: (host.name,), cursor, limit)
    return Page(items=shown, next=more)


@router.get("/rollouts/{rollout_id}/guests")
def rollout_guests(
    rollout_id: Id, who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[GuestRecord]:
    """The guests that something happened to, by name."""
    book = parts.views.rollout(rollout_id).book
    found = [book.guests[name] for name in sorted(book.guests)]
    shown, more = page(found, lambda guest: (guest.name,), cursor, limit)
    return Page(items=shown, next=more)


@router.get("/rollouts/{rollout_id}/steps")
def steps(
    rollout_id: Id,
    who: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    limit: Limit = 100,
    state: StepState | None = None,
    kind: Kind | None = None,
    host: Filter = None,
    guest: Filter = None,
) -> Page[Step]:
    """The steps of every plan of the rollout, by id."""
    book = parts.views.rollout(rollout_id).book
    found = [
        step
        for step in book.steps.values()
        if (state is None or step.state is state)
        and (kind is None or step.kind is kind)
        and (host is None or host in step.hosts)
        and (guest is None or step.guest == guest)
    ]
    found.sort(key=lambda step: step.id)
    shown, more = page(found, lambda step: (step.id,), cursor, limit)
    return Page(items=shown, next=more)


@router.get("/rollouts/{rollout_id}/steps/{step_id}")
def step(rollout_id: Id, step_id: Id, who: Viewer, parts: Parts) -> Step:
    """One step."""
    found = parts.views.rollout(rollout_id).book.steps.get(step_id)
    if found is None:
        raise no_such("step", step_id)
    return found


@router.get("/rollouts/{rollout_id}/events")
def rollout_events(
    rollout_id: Id,
    who: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    limit: Limit = 100,
    newest: Annotated[bool, Query(description="The last page instead of the first.")] = False,
) -> Page[LiveEvent]:
    """Its event log from the beginning; `GET /api/v1/events` follows it live."""
    _known(parts, rollout_id)
    if newest:
        last = Streams(parts.store.client).newest(rollout_id, limit)
        return Page(items=_events(rollout_id, last), next=None)
    place = stream_place(cursor) if cursor else "0-0"
    lines = Streams(parts.store.client).after(rollout_id, place, limit + 1)
    more = encode((lines[limit - 1][0],)) if len(lines) > limit else None
    return Page(items=_events(rollout_id, lines[:limit]), next=more)


def _events(rollout_id: str, lines: list[Line]) -> list[LiveEvent]:
    return [
        LiveEvent(id=f"{name}.{rollout_id}", rollout=rollout_id, happening=said)
        for name, said in lines
    ]


@router.get("/rollouts/{rollout_id}/starting")
def starting(rollout_id: Id, who: Viewer, parts: Parts) -> Starting:
    """What was allowed to start a moment ago: after a pause this empties."""
    _known(parts, rollout_id)
    return Starting(attempts=sorted(parts.store.being_started(rollout_id)))


def _known(parts: Service, rollout_id: str) -> None:
    if rollout_id not in parts.store.ids():
        raise NoRollout(rollout_id)


@router.get("/rollouts/{rollout_id}/plans")
def plans(
    rollout_id: Id, who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100
) -> Page[PlanOut]:
    """Every plan of the rollout, the newest last; each re-planning adds one."""
    numbers = range(1, parts.store.head(rollout_id).generation + 1)
    shown, more = page_of_log(numbers, lambda number: (str(number),), cursor, limit)
    base = f"/api/v1/rollouts/{rollout_id}/plans"
    return Page(items=[PlanOut(generation=n, href=f"{base}/{n}") for n in shown], next=more)


@router.get("/rollouts/{rollout_id}/plans/{generation}")
def plan(
    rollout_id: Id,
    generation: Annotated[int, Path(ge=1, le=1_000_000)],
    who: Viewer,
    parts: Parts,
) -> Response:
    """The document of one plan of the rollout, as the planner wrote it."""
    found = parts.store.plan_document(rollout_id, generation)
    if found is None:
        raise no_such("plan", f"{generation} of rollout {rollout_id}")
    return Response(found, media_type="application/json")


@router.get("/crashes")
def crashes(
    who: Viewer, parts: Parts, cursor: Cursor = None, limit: Limit = 100, rollout: Filter = None
) -> Page[CrashOut]:
    """Guests that crashed, by rollout and name."""
    names = sorted(parts.store.ids()) if rollout is None else [rollout]
    found = [
        CrashOut(
            rollout=name,
            guest=guest.name,
            guest_class=guest.guest_class,
            host=guest.host,
            reason=guest.reason,
        )
        for name in names
        for guest in parts.views.rollout(name).progress.crashed
    ]
    shown, more = page(found, lambda crash: (crash.rollout, crash.guest), cursor, limit)
    return Page(items=shown, next=more)
