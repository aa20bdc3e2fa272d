"""`/api/v1`: changing things. Each change needs a reason and is acted on once."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from scheduler.service.api_rollouts import Id
from scheduler.service.audit import Numbered
from scheduler.service.deeds import Action, start, want
from scheduler.service.paging import Cursor, Limit, Page, decode, encode
from scheduler.service.parts import Admin, OnCall, Parts, Security
from scheduler.service.repeat import IdempotencyKey, Once
from scheduler.service.shapes import Accepted, ActionBody, StartBody, Started

router = APIRouter(tags=["changes"])


@router.post("/rollouts/{rollout_id}/actions/{action}", status_code=202, response_model=Accepted)
def act(
    rollout_id: Id,
    action: Action,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Pause, resume or abort. Hosts obey from this moment, whether the controller runs or not.

    Start or approve one that waits for it: the role security; approval by somebody else than who
    made it.
    """

    def do() -> JSONResponse:
        said = want(parts, request, who, rollout_id, action, body.reason)
        return JSONResponse(said.model_dump(mode="json"), 202, {"Location": said.href})

    asked = f"{rollout_id} {action} {body.model_dump_json()}"
    return Once(parts.store.client, who.token_id).act(idempotency_key, asked, do)


@router.post("/rollouts", status_code=202, response_model=Started)
def start_rollout(
    body: StartBody,
    request: Request,
    who: Security,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Look at every host, plan the rollout and write it down; takes as long as the hosts do.

    With `dry_run` nothing is written, and the answer is 200.
    """

    def do() -> JSONResponse:
        said = start(parts, request, who, body)
        where = {"Location": f"/api/v1/rollouts/{said.rollout}"} if said.rollout else {}
        return JSONResponse(said.model_dump(mode="json"), 202 if said.rollout else 200, where)

    return Once(parts.store.client, who.token_id).act(idempotency_key, body.model_dump_json(), do)


@router.get("/audit", tags=["audit"])
def audit(who: Admin, parts: Parts, cursor: Cursor = None, limit: Limit = 100) -> Page[Numbered]:
    """Every change, the newest first: who, why, what, and the request's id."""
    after = decode(cursor)[0] if cursor and decode(cursor) else None
    entries = parts.audit.read(after, limit + 1)
    shown = entries[:limit]
    more = encode((shown[-1].id,)) if len(entries) > limit else None
    return Page(items=shown, next=more)
