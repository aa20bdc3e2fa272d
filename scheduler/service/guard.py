"""What every request passes: an id, a limit on its body, and headers that keep browsers strict."""

from __future__ import annotations

import re
from collections.abc import Callable

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
LONGER_BYTES = {"/api/v1/inventory": 8 * 2**20}
"""A fleet's inventory has a line for each guest."""
REQUEST_ID_FORM = re.compile(r"^[A-Za-z0-9._-]{1,64}$")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        is_static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if not is_static:
                    headers.setdefault("Cache-Control", "no-store")
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        body = await _body_or_refusal(scope, receive, request_id)
        if isinstance(body, JSONResponse):
            await body(scope, receive, send_with_headers)
            return
        await self._app(scope, _once(body, receive), send_with_headers)

    def _request_id(self, headers: Headers) -> str:
        """The caller's own id where it is harmless, so that two logs can be laid side by side."""
        said = headers.get("x-request-id", "")
        return said if REQUEST_ID_FORM.match(said) else self._new_id()


async def _body_or_refusal(scope: Scope, receive: Receive, request_id: str) -> bytes | JSONResponse:
    headers = Headers(scope=scope)
    if _ambiguous(headers):
        return _two_lengths(request_id)
    most = LONGER_BYTES.get(scope["path"], MAX_BODY_BYTES)
    if "authorization" not in headers:
        most = MAX_BODY_BYTES
    body = await _whole_body(scope, receive, most)
    return _too_large(request_id, most) if body is None else body


def _ambiguous(headers: Headers) -> bool:
    """Whether a proxy before us may have seen another end of this request than we do."""
    return "transfer-encoding" in headers and "content-length" in headers


async def _whole_body(scope: Scope, receive: Receive, most_bytes: int) -> bytes | None:
    """The body, or None as soon as it is too long, whatever its announced length."""
    length = Headers(scope=scope).get("content-length", "0")
    if length.isdigit() and int(length) > most_bytes:
        return None
    if scope["method"] in ("GET", "HEAD"):
        return b""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > most_bytes:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _once(body: bytes, receive: Receive) -> Receive:
    """The body first; after that what the server says, such as that the client has gone."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _too_large(request_id: str, most_bytes: int) -> JSONResponse:
    detail = f"a body may have {most_bytes} bytes"
    about = ("body", f"more than {most_bytes} bytes")
    return _problem(request_id, 413, "Content Too Large", "too_large", detail, about)


def _two_lengths(request_id: str) -> JSONResponse:
    """RFC 9112, 6.1: what follows on this connection may belong to this request, or not."""
    detail = "a request has Content-Length or Transfer-Encoding, not both"
    about = ("header.content-length", detail)
    answer = _problem(request_id, 400, "Bad Request", "bad_request", detail, about)
    answer.headers["Connection"] = "close"
    return answer


def _problem(
    request_id: str, status: int, title: str, code: str, detail: str, about: tuple[str, str]
) -> JSONResponse:
    name, message = about
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        "details": [{"name": name, "message": message}],
    }
    return JSONResponse(body, status, media_type="application/problem+json")
