"""A request that changes something: who asks, with which role, and under which key it acts once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from scheduler.service.access import Caller, Role
from scheduler.service.audit import Entry
from scheduler.service.login import PageCaller, check_csrf, own_form
from scheduler.service.parts import OnCall, Parts, Security, Service, check_role
from scheduler.service.repeat import IdempotencyKey, Once

Csrf = Annotated[str, Form(max_length=200)]
FormKey = Annotated[str, Form(pattern=r"^[A-Za-z0-9_-]{8,80}$")]
"""Of one showing of a form: what is sent twice is done once."""


@dataclass(frozen=True)
class Deed:
    """One such request. A program's key is its own; a form's belongs to one showing of a page."""

    parts: Service
    request: Request
    who: Caller
    key: str
    of_form: bool = False

    def needs(self, role: Role) -> None:
        """Raises Problem 403 with the role needed."""
        check_role(self.who, role)

    def note(self, action: str, target: str, why: str) -> Entry:
        """Write a change into the audit trail, before it is made."""
        return self.parts.note(self.request, self.who, action, target, why)

    def refused(self, entry: Entry, why: str) -> None:
        """Write into the audit trail that what was asked for came to nothing."""
        self.parts.audit.write(entry.model_copy(update={"outcome": f"refused: {why}"}))

    def once(self, asked: str, do: Callable[[], BaseModel], status: int = 202) -> JSONResponse:
        """Do it, or answer again what was answered to the same key.

        `asked` tells requests apart: everything that makes this one what it is. Raises what `do`
        raises; Problem 409, 422 as `Once` does.
        """

        def act() -> JSONResponse:
            said = do()
            href = getattr(said, "href", "")
            headers = {"Location": href} if href else None
            return JSONResponse(said.model_dump(mode="json"), status, headers)

        # Several buttons of one page share its key, and each acts once.
        key = f"{self.key}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
        key = key if self.of_form else self.key
        return Once(self.parts.store.client, self.who.token_id).act(key, asked, act)


def _on_call(request: Request, who: OnCall, parts: Parts, idempotency_key: IdempotencyKey) -> Deed:
    return Deed(parts, request, who, idempotency_key)


def _security(
    request: Request, who: Security, parts: Parts, idempotency_key: IdempotencyKey
) -> Deed:
    return Deed(parts, request, who, idempotency_key)


_OwnForm = Annotated[None, Depends(own_form)]


def _form(
    own: _OwnForm, request: Request, who: PageCaller, parts: Parts, csrf: Csrf, key: FormKey
) -> Deed:
    check_csrf(who, csrf)
    return Deed(parts, request, who, key, of_form=True)


OnCallDeed = Annotated[Deed, Depends(_on_call)]
SecurityDeed = Annotated[Deed, Depends(_security)]
FormDeed = Annotated[Deed, Depends(_form)]
"""Of a page of ours, for whoever is logged in: what role it needs is for the handler to ask."""
