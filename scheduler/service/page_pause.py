"""What a pause would cost, for the dialog that asks whether to pause."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from scheduler.service.api_rollouts import ForS, Id, rollout_pause_cost
from scheduler.service.login import PageCaller
from scheduler.service.parts import Parts
from scheduler.service.render import page

router = APIRouter()

LISTED = 5
"""Hosts and guests that are named; the others are counted."""


@router.get("/rollouts/{rollout_id}/pause-cost")
async def pause_cost(
    request: Request, rollout_id: Id, who: PageCaller, parts: Parts, for_s: ForS = 3600.0
) -> Response:
    """How much later it ends, what of the deadline, which hosts stay half emptied."""
    cost = await rollout_pause_cost(rollout_id, who, parts, for_s)
    now = parts.clock.now()
    return page(request, "pause_cost.html", who, cost=cost, now=now, listed=LISTED)
