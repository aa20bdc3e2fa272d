"""The forms of the dashboard for one wave or one host of a rollout."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from scheduler.service.api_rollouts import Id
from scheduler.service.deed import FormDeed
from scheduler.service.deeds_part import PartAction, act_on_part
from scheduler.service.problem import Problem
from scheduler.service.shapes import Reason
from scheduler.wishes import Part

router = APIRouter()


Wave = Annotated[int | None, Form(ge=1, le=1_000_000)]
Host = Annotated[str | None, Form(min_length=1, max_length=255)]


@router.post("/rollouts/{rollout_id}/part")
def act(
    rollout_id: Id,
    action: Annotated[PartAction, Form()],
    reason: Annotated[Reason, Form()],
    deed: FormDeed,
    wave: Wave = None,
    host: Host = None,
) -> Response:
    """Pause, resume, approve or leave out one part, in force at once; then show it again."""
    if (
        (wave is None) == (host is None)
        or (host is not None and action is PartAction.APPROVE)
        or (wave is not None and action is PartAction.DEAD)
    ):
        said = "expected a wave, or a host with pause, resume or abort"
        raise Problem(422, "invalid", said, [("wave", said)])
    act_on_part(deed, rollout_id, Part(wave, host), action, reason)
    page = f"/rollouts/{rollout_id}" if host is None else f"/hosts/{quote(host, safe='')}"
    return RedirectResponse(page, 303)
