"""The forms of the dashboard for one wave or one host of a rollout."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from scheduler.service.api_rollouts import Id
from scheduler.service.deeds_part import PartAction, act_on_part, check_part_role
from scheduler.service.login import Csrf, FormKey, PageCaller, check_csrf, own_form
from scheduler.service.parts import Parts
from scheduler.service.problem import Problem
from scheduler.service.repeat import Once
from scheduler.service.shapes import Reason
from scheduler.wishes import Part

router = APIRouter()


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
    csrf: Csrf,
    key: FormKey,
    wave: Wave = None,
    host: Host = None,
) -> Response:
    """Pause, resume, approve or leave out one part, in force at once; then show it again."""
    check_csrf(who, csrf)
    if (wave is None) == (host is None) or (host is not None and action is PartAction.APPROVE):
        said = "expected a wave, or a host with pause, resume or abort"
        raise Problem(422, "invalid", said, [("wave", said)])
    check_part_role(who, action)
    part = Part(wave, host)

    def do() -> JSONResponse:
        said = act_on_part(parts, request, who, rollout_id, part, action, reason)
        return JSONResponse(said.model_dump(mode="json"), 202)

    asked = f"{rollout_id} {part.field} {action}"
    Once(parts.store.client, who.token_id).act(f"{key}-{action}", asked, do)
    page = f"/rollouts/{rollout_id}" if host is None else f"/hosts/{quote(host, safe='')}"
    return RedirectResponse(page, 303)
