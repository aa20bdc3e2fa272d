"""Embargo: until its hour, an advisory has only its codename for all but the security role.

The last layer before the wire looks through every text that leaves the service, pages, API, metrics
and live feed alike: what a reason or an event says is veiled, too, not only the fields for names.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.advisory import Advisory, payload_name
from scheduler.service.access import Caller, Role

PLAIN = ("/static/",)
LIKE_A_NAME = re.compile(r"(xsa|cve)([-_ ]|%20|%2d)?[0-9][0-9-]*", re.IGNORECASE)
"""An error repeats what was asked for; veiling only the secret ones would tell which those are."""


def hidden(advisories: Sequence[Advisory], now: datetime) -> list[Advisory]:
    """Those that are still secret."""
    return [one for one in advisories if one.shown(now, knows=False) != one.id]


class Veil:
    """Takes secret names out of one text; the longest first."""

    def __init__(self, secret: Sequence[Advisory]) -> None:
        names = {form: one.codename or "" for one in secret for form in _forms(one)}
        self._names = {form.lower(): name for form, name in names.items()}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text with codenames."""
        return self._pattern.sub(lambda m: self._names[m.group().lower()], text)


def _forms(advisory: Advisory) -> set[str]:
    """Every way in which it can be written: with and without its dash, escaped, its CVEs."""
    words = {advisory.id, *advisory.cves, *advisory.livepatches.values()}
    words |= {payload_name(file) for file in advisory.livepatches.values()}
    words |= {re.sub(r"[-_. ]", join, advisory.id) for join in ("", "-", "_", " ", "%20", "%2D")}
    words |= {advisory.title} if advisory.title else set()
    forms = (html.escape, _in_json, _in_ascii_json, markdown)
    escaped = {form(word) for word in words for form in forms}
    jinja = {word.replace("&#x27;", "&#39;").replace("&quot;", "&#34;") for word in escaped}
    return words | escaped | jinja


def markdown(text: str) -> str:
    """The text with nothing in it that Markdown takes for markup or a link."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!&" else c for c in text)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


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
    for name in ("location",):
        if name in headers:
            headers[name] = veil(headers[name])
