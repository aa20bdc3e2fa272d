"""The forms of the dashboard: the same deeds as the API's, with a browser's protections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from scheduler.service.access import Role
from scheduler.service.api_rollouts import Id
from scheduler.service.deed import FormDeed
from scheduler.service.deeds import Action, want
from scheduler.service.shapes import Reason

router = APIRouter()


@router.post("/rollouts/{rollout_id}/act")
def act(
    rollout_id: Id,
    action: Annotated[Action, Form()],
    reason: Annotated[Reason, Form()],
    deed: FormDeed,
) -> Response:
    """Pause, resume or abort from a page, then show the rollout again."""
    deed.needs(Role.ON_CALL)
    asked = f"{rollout_id} {action} {reason}"
    deed.once(asked, lambda: want(deed, rollout_id, action, reason))
    return RedirectResponse(f"/rollouts/{rollout_id}", 303)
