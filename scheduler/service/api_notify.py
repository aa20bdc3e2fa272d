"""`/api/v1/notifications`: who is told what happens, and whether it arrives."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from scheduler.notify.outbox import (
    MOST_DEAD,
    Asked,
    Delivery,
    Outbox,
    TargetStatus,
    TestResult,
)
from scheduler.service.deed import Deed, OnCallDeed
from scheduler.service.paging import Cursor, Limit, Page, page_of_log
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.problem import Problem, conflict, no_such, short
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
    found = {one.name: one for one in outbox(parts).status()}
    if name in found:
        return found[name]
    names = ", ".join(found) or "none"
    raise Problem(404, "not_found", short(f"there is no target {name}; the sender knows {names}"))


def ask_test(deed: Deed, name: str, reason: str) -> TestAsked:
    """Have a test sent. Raises Problem 404, 409 where nobody sends."""
    parts = deed.parts
    known(parts, name)
    if not outbox(parts).leader():
        said = "no sender runs: nothing can be sent; start `xenroll notify run`"
        raise conflict("no_sender", said, [("target", name)])
    deed.note("notify.test", name, reason)
    asked = Asked(id=parts.new_id(), target=name, by=deed.who.name, at=parts.clock.now())
    outbox(parts).ask(asked)
    href = f"/api/v1/notification-tests/{asked.id}"
    return TestAsked(id=asked.id, target=name, href=href)


def send_again(deed: Deed, name: str, reason: str) -> SentAgain:
    """Queue again what was given up. Raises Problem 404."""
    known(deed.parts, name)
    deed.note("notify.retry", name, reason)
    again = outbox(deed.parts).revive(name, deed.parts.clock.now())
    return SentAgain(target=name, again=again)


@router.get("/notifications")
def notifications(who: Viewer, parts: Parts) -> Notifications:
    """Every target: what waits, what was delivered, what was given up."""
    return Notifications(sender=outbox(parts).leader() or None, targets=outbox(parts).status())


@router.get("/notifications/{name}/dead")
def dead(
    name: TargetName,
    who: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[Delivery]:
    """What a target was not given, the newest first, with what was said of the last try."""
    known(parts, name)
    found = outbox(parts).dead(name, MOST_DEAD)
    shown, more = page_of_log(found, lambda lost: (lost.event.id,), cursor, limit)
    return Page(items=shown, next=more)


@router.post("/notifications/{name}/test", status_code=202, response_model=TestAsked)
def test(name: TargetName, body: ActionBody, deed: OnCallDeed) -> JSONResponse:
    """Send a test to one target, now and once, whatever waits for it."""
    asked = f"test {name} {body.model_dump_json()}"
    return deed.once(asked, lambda: ask_test(deed, name, body.reason))


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
def retry(name: TargetName, body: ActionBody, deed: OnCallDeed) -> JSONResponse:
    """Send again what was given up, with the same ids."""
    asked = f"retry {name} {body.model_dump_json()}"
    return deed.once(asked, lambda: send_again(deed, name, body.reason))
