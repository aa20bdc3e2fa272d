"""How the commands for people ask: always through the service's API.

Where a service is named (`--server`, XENROLL_SERVER), it is asked, with the token of XENROLL_TOKEN
or of a file. Else the same application answers inside this process, on the Redis that
XENROLL_REDIS_URL names, for the login user: whoever reaches that Redis may do everything, but what
they change stands in the audit trail all the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from scheduler.cli_answer import Refused, checked, parsed
from scheduler.cli_exit import Exit
from scheduler.settings import Settings

__all__ = ["Api", "Refused", "api", "segment"]

READ_S = 60.0
CONNECT_S = 5.0
AT_ONCE = 1000


def segment(name: str) -> str:
    """A name as one part of a path, whatever is in it. Raises Refused for what can be none."""
    if name in ("", ".", ".."):
        raise Refused(Exit.NOT_FOUND, f"there is nothing of the name {name!r}")
    return quote(name, safe="")


class Api:
    """The API, wherever it answers. Every method raises Refused."""

    def __init__(self, client: httpx.Client, where: str) -> None:
        self._client = client
        self._where = where

    def get(self, path: str, wait_s: float = READ_S, **query: object) -> Any:
        """What a path answers, parsed."""
        given = {name: _word(value) for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(wait_s, connect=CONNECT_S)
        return parsed(self._answer("GET", path, params=given, timeout=timeout), self._where)

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def text(self, path: str, **query: object) -> str:
        """What a path answers, as text."""
        given = {name: _word(value) for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=given).text

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Every page of a long list."""
        cursor: str | None = None
        while True:
            said = self.get(path, limit=AT_ONCE, cursor=cursor, **query)
            yield said
            cursor = said["next"]
            if cursor is None:
                return

    def all(self, path: str, **query: object) -> list[Any]:
        """Every item of a list that comes in pages."""
        return [item for said in self.pages(path, **query) for item in said["items"]]

    def act(self, path: str, body: Mapping[str, object], wait_s: float = READ_S) -> Any:
        """Ask for a change, once: a repetition of this request would change nothing more."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        timeout = httpx.Timeout(wait_s, connect=CONNECT_S)
        answer = self._answer("POST", path, json=body, headers=headers, timeout=timeout)
        return parsed(answer, self._where)

    def put(self, path: str, body: object, **query: object) -> Any:
        """Put a document in a place."""
        given = {name: _word(value) for name, value in query.items()}
        return parsed(self._answer("PUT", path, json=body, params=given), self._where)

    def _answer(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, f"/api/v1{path}", **given)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise Refused(Exit.AWAY, f"{self._where} does not answer: {why}") from None
        return checked(answer, self._where)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def api(settings: Settings, server: str | None, person: str) -> Api:
    """The API of the server that is named, or of this process. Raises Refused."""
    named = server or settings.server
    headers = {"X-Request-ID": f"cli-{uuid.uuid4().hex[:16]}"}
    if named:
        headers["Authorization"] = f"Bearer {_token(settings)}"
        return Api(_remote(named, headers), named)
    from scheduler.link import Away
    from scheduler.service.local import local_app

    try:
        app = local_app(settings, person)
    except Away as error:
        raise Refused(Exit.AWAY, str(error)) from None
    transport = InProcess(httpx.ASGITransport(app=app))
    client = httpx.Client(transport=transport, base_url="http://xenroll", headers=headers)
    return Api(client, "xenroll")


def _remote(server: str, headers: Mapping[str, str]) -> httpx.Client:
    kind, _, rest = server.partition(":")
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    if kind == "unix":
        transport = httpx.HTTPTransport(uds=rest)
        return httpx.Client(
            transport=transport, base_url="http://xenroll", headers=headers, timeout=timeout
        )
    host = _host(server) if kind in ("http", "https") else ""
    if not host:
        raise Refused(Exit.BAD_INPUT, f"--server {server}: expected https://HOST or unix:PATH")
    if kind == "http" and not _is_this_machine(host):
        said = f"--server {server}: the token would cross the network unencrypted: use https"
        raise Refused(Exit.BAD_INPUT, said)
    # What never leaves this machine must not go through a proxy that the environment names.
    return httpx.Client(
        base_url=server, headers=headers, timeout=timeout, trust_env=kind == "https"
    )


def _host(server: str) -> str:
    """The host that an address names; empty where it is no address."""
    try:
        return httpx.URL(server).host
    except httpx.InvalidURL:
        return ""


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(settings: Settings) -> str:
    """The token that the environment or its file holds. Raises Refused."""
    if settings.token is not None:
        return _words_of(settings.token.get_secret_value(), "XENROLL_TOKEN")
    file = settings.token_file or Path.home() / ".config" / "xenroll" / "token"
    try:
        with file.open() as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                said = f"{file}: others may read it (mode {mode:04o}): chmod 600 {file}"
                raise Refused(Exit.BAD_INPUT, said)
            return _words_of(opened.read(20_000), str(file))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        said = f"no token: set XENROLL_TOKEN, or put one into {file} ({why})"
        raise Refused(Exit.NO_ACCESS, said) from None


def _words_of(text: str, where: str) -> str:
    """A token that can be sent; what is wrong with another is said without showing it."""
    token = text.strip()
    if token and token.isascii() and token.isprintable() and " " not in token:
        return token
    why = "it is empty" if not token else "expected one line of letters, digits, _, - and ."
    raise Refused(Exit.NO_ACCESS, f"{where} holds no token: {why}")


class InProcess(httpx.BaseTransport):
    """Requests that an application of this process answers."""

    def __init__(self, inner: httpx.ASGITransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the application and wait for its whole answer."""
        return asyncio.run(self._ask(request))

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)
