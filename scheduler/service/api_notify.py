"""`/api/v1/notifications`: who is told what happens, and whether it arrives."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from scheduler.notify.outbox import Asked, Delivery, Outbox, TargetStatus, TestResult
from scheduler.service.access import Caller
from scheduler.service.parts import OnCall, Parts, Service, Viewer
from scheduler.service.problem import conflict, no_such
from scheduler.service.repeat import IdempotencyKey, Once
from scheduler.service.shapes import ActionBody

router = APIRouter(tags=["notifications"])

TargetName = Annotated[str, Path(max_length=40)]


class Notifications(BaseModel):
    """Every target, and who sends."""

    sender: str | None  # null: nothing is sent right now
    targets: list[TargetStatus]


class TestAsked(BaseModel):
    """A test is on its way; what came of it is at `href` as soon as it is known."""

    id: str
    target: str
    href: str


class SentAgain(BaseModel):
    """What was given up is sent again, with the same ids."""

    target: str
    again: int


def outbox(parts: Service) -> Outbox:
    """The queues, to look at and to ask."""
    return Outbox(parts.store.client, parts.store.writer)


def known(parts: Service, name: str) -> TargetStatus:
    """A target that the sender knows. Raises Problem 404."""
    for one in outbox(parts).status():
        if one.name == name:
            return one
    raise no_such("target", name)


def ask_test(parts: Service, request: Request, who: Caller, name: str, reason: str) -> str:
    """Have a test sent; its id. Raises Problem 404, 409 where nobody sends."""
    known(parts, name)
    if not outbox(parts).leader():
        raise conflict("no_sender", "no sender runs: nothing can be sent", [("target", name)])
    parts.note(request, who, "notify.test", name, reason)
    asked = Asked(id=parts.new_id(), target=name, by=who.name, at=parts.clock.now())
    outbox(parts).ask(asked)
    return asked.id


def send_again(parts: Service, request: Request, who: Caller, name: str, reason: str) -> int:
    """Queue again what was given up; how many. Raises Problem 404."""
    known(parts, name)
    parts.note(request, who, "notify.retry", name, reason)
    return outbox(parts).revive(name, parts.clock.now())


@router.get("/notifications")
def notifications(who: Viewer, parts: Parts) -> Notifications:
    """Every target: what waits, what was delivered, what was given up."""
    return Notifications(sender=outbox(parts).leader() or None, targets=outbox(parts).status())


@router.get("/notifications/{name}/dead")
def dead(
    name: TargetName,
    who: Viewer,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Delivery]:
    """What a target was not given, the newest first, with what was said of the last try."""
    known(parts, name)
    return outbox(parts).dead(name, limit)


@router.post("/notifications/{name}/test", status_code=202, response_model=TestAsked)
def test(
    name: TargetName,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Send a test to one target, now and once, whatever waits for it."""

    def do() -> JSONResponse:
        test_id = ask_test(parts, request, who, name, body.reason)
        href = f"/api/v1/notification-tests/{test_id}"
        said = TestAsked(id=test_id, target=name, href=href)
        return JSONResponse(said.model_dump(), 202, {"Location": href})

    asked = f"test {name} {body.model_dump_json()}"
    return Once(parts.store.client, who.token_id).act(idempotency_key, asked, do)


@router.get("/notification-tests/{test_id}")
def test_result(
    test_id: Annotated[str, Path(max_length=80)], who: Viewer, parts: Parts
) -> TestResult:
    """What came of a test; 404 while nothing is known, and an hour later."""
    found = outbox(parts).result(test_id)
    if found is None:
        raise no_such("result of a test", test_id)
    return found


@router.post("/notifications/{name}/retry", status_code=202, response_model=SentAgain)
def retry(
    name: TargetName,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Send again what was given up, with the same ids."""

    def do() -> JSONResponse:
        again = send_again(parts, request, who, name, body.reason)
        return JSONResponse(SentAgain(target=name, again=again).model_dump(), 202)

    asked = f"retry {name} {body.model_dump_json()}"
    return Once(parts.store.client, who.token_id).act(idempotency_key, asked, do)
