"""The forms of the dashboard: the same deeds as the API's, with a browser's protections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from scheduler.service.access import Role
from scheduler.service.api_rollouts import Id
from scheduler.service.deeds import Action, want
from scheduler.service.login import Csrf, FormKey, PageCaller, check_csrf, own_form
from scheduler.service.parts import Parts, check_role
from scheduler.service.repeat import Once
from scheduler.service.shapes import Reason

router = APIRouter()


@router.post("/rollouts/{rollout_id}/act", dependencies=[Depends(own_form)])
def act(
    request: Request,
    rollout_id: Id,
    who: PageCaller,
    parts: Parts,
    action: Annotated[Action, Form()],
    reason: Annotated[Reason, Form()],
    csrf: Csrf,
    key: FormKey,
) -> Response:
    """Pause, resume or abort from a page, then show the rollout again."""
    check_csrf(who, csrf)
    check_role(who, Role.ON_CALL)

    def do() -> JSONResponse:
        said = want(parts, request, who, rollout_id, action, reason)
        return JSONResponse(said.model_dump(mode="json"), 202)

    Once(parts.store.client, who.token_id).act(f"{key}-{action}", f"{rollout_id} {action}", do)
    return RedirectResponse(f"/rollouts/{rollout_id}", 303)
