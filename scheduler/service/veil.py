"""Embargo: until its hour, an advisory has only its codename for all but the security role.

The last layer before the wire looks through every text that leaves the service, pages, API, metrics
and live feed alike: what a reason or an event says is veiled, too, not only the fields for names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.advisory import Advisory
from scheduler.service.access import Caller, Role
from scheduler.veil import Veil

LOGIN = "/login"
PLAIN = ("/static/", LOGIN)
"""Nothing of the fleet is there. The login page says again where its reader wanted to go: veiled,
it would tell anybody which names are secret, and what they are called here."""
LIKE_A_NAME = re.compile(r"(xsa|cve)([-_ ]|%20|%2d)?[0-9][0-9-]*", re.IGNORECASE)
"""An error repeats what was asked for; veiling only the secret ones would tell which those are."""


def knows(caller: object) -> bool:
    """Whether this caller may see real names."""
    return isinstance(caller, Caller) and caller.role.covers(Role.SECURITY)


class VeilLayer:
    """An ASGI layer; `secret` tells what is secret right now."""

    def __init__(self, app: ASGIApp, secret: Callable[[], Sequence[Advisory]]) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"].startswith(PLAIN):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def veiled(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.append(message)  # its length may change
                return
            await self._body(scope, held, message, send)

        await self._app(scope, receive, veiled)

    async def _body(self, scope: Scope, held: list[Message], body: Message, send: Send) -> None:
        secret = [] if knows(scope["state"].get("caller")) else self._secret()
        veil = Veil(secret) if secret else None
        if veil is not None:
            # One message is one whole answer, or one event of the feed: no name is ever cut.
            text = body.get("body", b"").decode("utf-8", "surrogateescape")
            if held and held[0]["status"] >= 400:
                text = LIKE_A_NAME.sub("(a name)", text)
            body = {**body, "body": veil(text).encode("utf-8", "surrogateescape")}
        if held:
            start = held.pop()
            if veil is not None:
                _correct(MutableHeaders(raw=start["headers"]), body, veil)
            await send(start)
        await send(body)


def _correct(headers: MutableHeaders, body: Message, veil: Veil) -> None:
    if "content-length" in headers:
        headers["content-length"] = str(len(body["body"]))
    to = headers.get("location")
    if to is not None and not to.startswith(LOGIN):
        headers["location"] = veil(to)
