"""The dashboard: pages made on the server, kept current by fragments and the live feed."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from scheduler.forecast_assumed import assumed, in_short
from scheduler.rollout import ENDED, Rollout
from scheduler.service import present
from scheduler.service.access import Caller, Role
from scheduler.service.anyname import ANY_NAME
from scheduler.service.api_fleet import Name, guests_out, host_detail, nowhere
from scheduler.service.api_rollouts import Id
from scheduler.service.login import PageCaller
from scheduler.service.paging import Cursor
from scheduler.service.paging import page as paged
from scheduler.service.parts import Parts, Service, check_role
from scheduler.service.present_parts import host_part, wave_rows
from scheduler.service.problem import no_such
from scheduler.service.render import page
from scheduler.service.timeline import drawing
from scheduler.service.views import RolloutView

router = APIRouter()

FEED_LINES = 60
HOSTS_A_PAGE = 200
AUDIT_LINES = 200
LANES_AT_ONCE = 240
"""More hosts than this are drawn a wave at a time."""


@router.get("/")
def start(who: PageCaller, parts: Parts) -> Response:
    """The newest rollout that has not ended, else the newest, else the list."""
    heads = [parts.store.head(name) for name in parts.store.ids()]
    going = [head for head in heads if head.state not in ENDED]
    newest = (going or heads)[-1:]
    return RedirectResponse(f"/rollouts/{newest[0].id}" if newest else "/rollouts", 303)


@router.get("/rollouts")
def rollouts(request: Request, who: PageCaller, parts: Parts) -> Response:
    """Every rollout, the newest first."""
    heads: list[Rollout] = [parts.store.head(name) for name in parts.store.ids()[::-1]]
    return page(request, "rollouts.html", who, heads=heads, mood=present.MOOD)


@router.get("/rollouts/{rollout_id}")
def overview(request: Request, rollout_id: Id, who: PageCaller, parts: Parts) -> Response:
    """One rollout at a glance."""
    view = parts.views.rollout(rollout_id)
    values = _live_values(parts, who, view)
    happenings = parts.store.happenings(rollout_id, FEED_LINES)
    return page(
        request,
        "overview.html",
        who,
        **values,
        groups=present.groups(view.progress),
        density=present.density(len(view.progress.hosts)),
        busy=present.current_waves(view.progress.waves),
        happenings=happenings[::-1],
        since=parts.feed.newest(rollout_id),
        key=parts.new_id(),
    )


@router.get("/rollouts/{rollout_id}/live")
def live(request: Request, rollout_id: Id, who: PageCaller, parts: Parts) -> Response:
    """What changes on the overview: headline, cards, and one letter for each host."""
    view = parts.views.rollout(rollout_id)
    control = parts.store.control(rollout_id)
    key = (rollout_id, who.role.covers(Role.ON_CALL), *sorted(control.items()))

    def make() -> bytes:
        values = {**_live_values(parts, who, view), "grid": json.dumps(present.grid(view.progress))}
        return bytes(page(request, "live.html", who, **values).body)

    return HTMLResponse(parts.fragments.get(key, view, make))


def _live_values(parts: Service, who: Caller, view: RolloutView) -> dict[str, Any]:
    control = parts.store.control(view.progress.id)
    fleet = parts.views.fleet()
    word, colour = present.mood(view.progress, control)
    held = present.held(view, fleet)
    moving = present.under_way(view, fleet)
    return {
        "head": view.book.rollout,
        "shown": view.progress,
        "curve": view.curve,
        "word": word,
        "colour": colour,
        "control": control,
        "ended": view.progress.state in ENDED,
        "can_act": who.role.covers(Role.ON_CALL),
        "can_start": who.role.covers(Role.SECURITY),
        "waves": wave_rows(view, control),
        "legend": present.legend(view.progress),
        "held": held[: present.LISTED],
        "held_more": max(0, len(held) - present.LISTED),
        "moving": moving[: present.LISTED],
        "moving_more": max(0, len(moving) - present.LISTED),
        "crashes": present.crash_classes(view),
        "view_at": view.at,
        "finish_at": _at(view, view.curve.left_p50_s),
        "finish_late_at": _at(view, view.curve.left_p90_s),
        "provided": in_short(assumed(view.book)),
    }


def _at(view: RolloutView, left_s: float | None) -> float | None:
    return None if left_s is None else view.at.timestamp() + left_s


@router.get("/rollouts/{rollout_id}/plan")
def plan(
    request: Request,
    rollout_id: Id,
    who: PageCaller,
    parts: Parts,
    wave: Annotated[int | None, Query(ge=1, le=100_000)] = None,
) -> Response:
    """The timeline of the hosts: what was, what is, what is planned."""
    view = parts.views.rollout(rollout_id)
    numbers = [one.number for one in view.progress.waves]
    if wave is None and len(view.progress.hosts) > LANES_AT_ONCE and numbers:
        busy = present.current_waves(view.progress.waves)
        wave = min(busy, default=numbers[0])
    if wave is not None and wave not in numbers:
        raise no_such("wave", str(wave))
    return page(
        request,
        "plan.html",
        who,
        head=view.book.rollout,
        shown=view.progress,
        numbers=numbers,
        wave=wave,
        drawn=drawing(view.book, wave, parts.clock.now()),
    )


@router.get("/hosts")
def hosts(request: Request, who: PageCaller, parts: Parts, cursor: Cursor = None) -> Response:
    """Every host of the inventory."""
    fleet = parts.views.fleet()
    names, more = paged(fleet.hosts, lambda name: (name,), cursor, HOSTS_A_PAGE)
    rows = [host_detail(fleet, name) for name in names]
    return page(request, "hosts.html", who, rows=rows, more=more, total=len(fleet.hosts))


@router.get("/hosts/{name}")
def host(request: Request, name: Name, who: PageCaller, parts: Parts) -> Response:
    """One host: what it runs, and what the rollout does with it."""
    fleet = parts.views.fleet()
    if name not in fleet.hosts:
        raise no_such("host", name)
    owner = fleet.owners.get(name)
    record, part, steps = None, None, []
    if owner in parts.store.ids():
        view = parts.views.rollout(str(owner))
        book, record = view.book, view.book.hosts.get(name)
        part = host_part(view, record, parts.store.control(view.progress.id)) if record else None
        steps = sorted(
            (step for step in book.steps.values() if name in step.hosts),
            key=lambda step: (step.planned_start_s, step.id),
        )
    shown = host_detail(fleet, name)
    return page(
        request,
        "host.html",
        who,
        host=shown,
        record=record,
        part=part,
        steps=steps[:500],
        owner=owner,
        can_act=who.role.covers(Role.ON_CALL),
        key=parts.new_id(),
    )


@router.get(f"/guests/{ANY_NAME}")
def guest(request: Request, name: Name, who: PageCaller, parts: Parts) -> Response:
    """One guest: where it is, and what happened to it."""
    fleet = parts.views.fleet()
    places = fleet.where.get(name)
    if not places:
        raise nowhere(parts, name)
    seen = guests_out(fleet, [fleet.guests[place] for place in places])
    owner = fleet.owners.get(seen[0].host)
    steps = []
    if owner in parts.store.ids():
        book = parts.views.rollout(str(owner)).book
        steps = [step for step in book.steps.values() if step.guest == name]
    return page(request, "guest.html", who, seen=seen, name=name, steps=steps, owner=owner)


@router.get("/audit")
def audit(request: Request, who: PageCaller, parts: Parts) -> Response:
    """The newest changes: who, why, what."""
    check_role(who, Role.ADMIN)
    return page(request, "audit.html", who, entries=parts.audit.read(None, AUDIT_LINES))
