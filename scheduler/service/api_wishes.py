"""`/api/v1/rollouts/ID/waves/N/actions/…` and `…/hosts/NAME/actions/…`: parts of a rollout."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from scheduler.service.access import Caller
from scheduler.service.api_rollouts import Id
from scheduler.service.deeds_part import PartAction, act_on_part, check_part_role
from scheduler.service.parts import OnCall, Parts, Service
from scheduler.service.repeat import IdempotencyKey, Once
from scheduler.service.shapes import Accepted, ActionBody
from scheduler.wishes import Part

router = APIRouter(tags=["changes"])

Wave = Annotated[int, Path(ge=1, le=1_000_000)]
HostName = Annotated[str, Path(max_length=255)]


class HostAction(StrEnum):
    """What can be asked of a host of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@router.post(
    "/rollouts/{rollout_id}/waves/{wave}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_wave(
    rollout_id: Id,
    wave: Wave,
    action: PartAction,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Pause, resume or abort one wave, in force at once; approve one (the role security)."""
    check_part_role(who, action)
    asked = (rollout_id, Part(wave=wave), action.value, body.reason)
    return _once(parts, request, who, asked, idempotency_key)


@router.post(
    "/rollouts/{rollout_id}/hosts/{name}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_host(
    rollout_id: Id,
    name: HostName,
    action: HostAction,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Pause, resume or abort one host, in force at once; aborted, the rollout leaves it out."""
    asked = (rollout_id, Part(host=name), action.value, body.reason)
    return _once(parts, request, who, asked, idempotency_key)


def _once(
    parts: Service,
    request: Request,
    who: Caller,
    asked: tuple[str, Part, str, str],
    key: str,
) -> JSONResponse:
    """Do it, or answer again what was answered to the same key."""
    rollout_id, part, action, reason = asked

    def do() -> JSONResponse:
        said = act_on_part(parts, request, who, rollout_id, part, action, reason)
        return JSONResponse(said.model_dump(mode="json"), 202, {"Location": said.href})

    words = f"{rollout_id} {part.field} {action} {reason}"
    return Once(parts.store.client, who.token_id).act(key, words, do)
