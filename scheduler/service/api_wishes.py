"""`/api/v1/rollouts/ID/waves/N/actions/…` and `…/hosts/NAME/actions/…`: parts of a rollout."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from scheduler.service.api_rollouts import Id
from scheduler.service.deed import OnCallDeed
from scheduler.service.deeds_part import PartAction, act_on_part
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
    DEAD = "dead"


class WaveAction(StrEnum):
    """What can be asked of a wave of a rollout."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@router.post(
    "/rollouts/{rollout_id}/waves/{wave}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_wave(
    rollout_id: Id, wave: Wave, action: WaveAction, body: ActionBody, deed: OnCallDeed
) -> JSONResponse:
    """Pause, resume or abort one wave, in force at once; approve one (the role security)."""
    return act_on_part(deed, rollout_id, Part(wave=wave), PartAction(action), body.reason)


@router.post(
    "/rollouts/{rollout_id}/hosts/{name}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_host(
    rollout_id: Id, name: HostName, action: HostAction, body: ActionBody, deed: OnCallDeed
) -> JSONResponse:
    """Pause, resume or abort one host, in force at once; aborted, the rollout leaves it out.

    `dead`: a person's word that the power of this silent host is cut and stays cut. Moves that
    hang on it are judged from their other end alone.
    """
    return act_on_part(deed, rollout_id, Part(host=name), PartAction(action), body.reason)
