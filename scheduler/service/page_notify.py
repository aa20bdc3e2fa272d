"""The page of who is told what happens, with its test button."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from scheduler.service.access import Role
from scheduler.service.api_notify import TargetName, ask_test, outbox, send_again
from scheduler.service.deed import FormDeed
from scheduler.service.login import PageCaller
from scheduler.service.parts import Parts, Service
from scheduler.service.render import page

router = APIRouter()

TEST_WAIT_S = 4.0
"""So long the page waits for a test's answer before it is shown without one."""
POLL_S = 0.05
DEAD_SHOWN = 50
BY_BUTTON = "by the button on the page"


class Wish(StrEnum):
    """What a button asks for."""

    TEST = "test"
    RETRY = "retry"


@router.get("/notifications")
def notifications(
    request: Request,
    who: PageCaller,
    parts: Parts,
    test: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """Every target with what waits and what was given up; `test`: what came of that one."""
    box = outbox(parts)
    targets = box.status()
    return page(
        request,
        "notifications.html",
        who,
        sender=box.leader(),
        targets=targets,
        dead={one.name: box.dead(one.name, DEAD_SHOWN) for one in targets},
        result=box.result(test) if test else None,
        asked=bool(test),
        can_act=who.role.covers(Role.ON_CALL),
        key=parts.new_id(),
    )


@router.post("/notifications/{name}/act")
def act(name: TargetName, wish: Annotated[Wish, Form()], deed: FormDeed) -> Response:
    """Send a test, or what was given up, then show the page again."""
    deed.needs(Role.ON_CALL)
    do = ask_test if wish is Wish.TEST else send_again
    answer = deed.once(f"{name} {wish}", lambda: do(deed, name, BY_BUTTON))
    said = json.loads(bytes(answer.body))
    shown = _shown(deed.parts, said["id"]) if wish is Wish.TEST else ""
    return RedirectResponse(f"/notifications{shown}", 303)


def _shown(parts: Service, test_id: str) -> str:
    """The query that shows what came of a test, once it is there or took too long."""
    end_s = time.monotonic() + TEST_WAIT_S
    while outbox(parts).result(test_id) is None and time.monotonic() < end_s:
        time.sleep(POLL_S)
    return f"?test={test_id}"
