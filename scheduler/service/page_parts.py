"""The forms of the dashboard for one wave or one host of a rollout."""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from agents.wire import Wanted
from scheduler.service.access import Caller, Role
from scheduler.service.api_rollouts import Id
from scheduler.service.login import PageCaller, own_form
from scheduler.service.parts import Parts, Service, check_role
from scheduler.service.problem import Problem, conflict, short
from scheduler.service.repeat import Once
from scheduler.service.shapes import Reason
from scheduler.wishes import Part, WishRefused, approve, wish

router = APIRouter()


class PartAction(StrEnum):
    """What a button asks of a wave or a host."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    APPROVE = "approve"


WANTED = {
    PartAction.PAUSE: Wanted.PAUSE,
    PartAction.RESUME: Wanted.RUN,
    PartAction.ABORT: Wanted.ABORT,
}
Wave = Annotated[int | None, Form(ge=1, le=1_000_000)]
Host = Annotated[str | None, Form(min_length=1, max_length=255)]


@router.post("/rollouts/{rollout_id}/part", dependencies=[Depends(own_form)])
def act(
    request: Request,
    rollout_id: Id,
    who: PageCaller,
    parts: Parts,
    action: Annotated[PartAction, Form()],
    reason: Annotated[Reason, Form()],
    csrf: Annotated[str, Form(max_length=200)],
    key: Annotated[str, Form(pattern=r"^[A-Za-z0-9_-]{8,80}$")],
    wave: Wave = None,
    host: Host = None,
) -> Response:
    """Pause, resume, approve or leave out one part, in force at once; then show it again."""
    if not hmac.compare_digest(csrf.encode(), who.csrf.encode()):
        raise Problem(403, "stale_form", "this form is of an older login: open the page again")
    if (wave is None) == (host is None) or (host is not None and action is PartAction.APPROVE):
        said = "expected a wave, or a host with pause, resume or abort"
        raise Problem(422, "invalid", said, [("wave", said)])
    check_role(who, Role.SECURITY if action is PartAction.APPROVE else Role.ON_CALL)
    part = Part(wave, host)

    def do() -> JSONResponse:
        _write(parts, request, who, rollout_id, part, action, reason)
        return JSONResponse({"part": str(part)}, 202)

    asked = f"{rollout_id} {part.field} {action}"
    Once(parts.store.client, who.token_id).act(f"{key}-{action}", asked, do)
    page = f"/rollouts/{rollout_id}" if host is None else f"/hosts/{quote(host, safe='')}"
    return RedirectResponse(page, 303)


def _write(
    parts: Service,
    request: Request,
    who: Caller,
    rollout_id: str,
    part: Part,
    action: PartAction,
    reason: str,
) -> None:
    """Raises NoRollout, Problem 404 for an unknown part, 409 with what is in the way."""
    now = parts.clock.now()
    entry = parts.note(request, who, str(action), f"{rollout_id}, {part}", reason)
    try:
        if action is PartAction.APPROVE:
            approve(parts.store, rollout_id, part.wave or 0, who.name, reason, now)
        else:
            wish(parts.store, rollout_id, part, WANTED[action], who.name, reason, now)
    except WishRefused as refused:
        why = short(str(refused))
        parts.audit.write(entry.model_copy(update={"outcome": f"refused: {why}"}))
        if refused.code in ("no_wave", "no_host"):
            raise Problem(404, "not_found", why) from None
        raise conflict(refused.code, why) from None
