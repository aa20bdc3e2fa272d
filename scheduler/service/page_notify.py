"""The page of who is told what happens, with its test button."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from scheduler.service.access import Role
from scheduler.service.api_notify import TargetName, ask_test, outbox, send_again
from scheduler.service.login import Csrf, FormKey, PageCaller, check_csrf, own_form
from scheduler.service.parts import Parts, Service, check_role
from scheduler.service.render import page
from scheduler.service.repeat import Once

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


@router.post("/notifications/{name}/act", dependencies=[Depends(own_form)])
def act(
    request: Request,
    name: TargetName,
    who: PageCaller,
    parts: Parts,
    wish: Annotated[Wish, Form()],
    csrf: Csrf,
    key: FormKey,
) -> Response:
    """Send a test, or what was given up, then show the page again."""
    check_csrf(who, csrf)
    check_role(who, Role.ON_CALL)

    def do() -> JSONResponse:
        if wish is Wish.RETRY:
            return JSONResponse({"again": send_again(parts, request, who, name, BY_BUTTON)}, 202)
        return JSONResponse({"test": ask_test(parts, request, who, name, BY_BUTTON)}, 202)

    answer = Once(parts.store.client, who.token_id).act(f"{key}-{wish}", f"{name} {wish}", do)
    return RedirectResponse(f"/notifications{_shown(parts, answer)}", 303)


def _shown(parts: Service, answer: JSONResponse) -> str:
    """The query that shows what came of a test, once it is there or took too long."""
    test_id = json.loads(bytes(answer.body)).get("test")
    if test_id is None:
        return ""
    end_s = time.monotonic() + TEST_WAIT_S
    while outbox(parts).result(test_id) is None and time.monotonic() < end_s:
        time.sleep(POLL_S)
    return f"?test={test_id}"
