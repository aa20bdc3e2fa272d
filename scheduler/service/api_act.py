"""`/api/v1`: changing things. Each change needs a reason and is acted on once."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from scheduler.service.api_rollouts import Id
from scheduler.service.audit import Numbered
from scheduler.service.deed import OnCallDeed, SecurityDeed
from scheduler.service.deeds import Action, start, want
from scheduler.service.paging import Cursor, Limit, Page, encode, stream_place
from scheduler.service.parts import Admin, Parts
from scheduler.service.shapes import Accepted, ActionBody, StartBody, Started

router = APIRouter(tags=["changes"])


@router.post("/rollouts/{rollout_id}/actions/{action}", status_code=202, response_model=Accepted)
def act(rollout_id: Id, action: Action, body: ActionBody, deed: OnCallDeed) -> JSONResponse:
    """Pause, resume or abort. Hosts obey from this moment, whether the controller runs or not.

    Start or approve one that waits for it: the role security; approval by somebody else than who
    made it.
    """
    asked = f"{rollout_id} {action} {body.model_dump_json()}"
    return deed.once(asked, lambda: want(deed, rollout_id, action, body.reason))


@router.post("/rollouts", status_code=202, response_model=Started)
def start_rollout(body: StartBody, deed: SecurityDeed) -> JSONResponse:
    """Look at every host, plan the rollout and write it down; takes as long as the hosts do.

    With `dry_run` nothing is written, and the answer is 200.
    """
    asked, status = body.model_dump_json(), 200 if body.dry_run else 202
    return deed.once(asked, lambda: start(deed, body), status)


@router.get("/audit", tags=["audit"])
def audit(who: Admin, parts: Parts, cursor: Cursor = None, limit: Limit = 100) -> Page[Numbered]:
    """Every change, the newest first: who, why, what, and the request's id."""
    after = stream_place(cursor) if cursor else None
    entries = parts.audit.read(after, limit + 1)
    shown = entries[:limit]
    more = encode((shown[-1].id,)) if len(entries) > limit else None
    return Page(items=shown, next=more)
