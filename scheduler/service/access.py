"""Who may do what: roles, and tokens that are stored as hashes with an end.

| key | what |
|---|---|
| `xr:tokens` | hash: token id -> Token, JSON (the secret's SHA-256, never the secret) |
| `xr:session:HASH` | string with an end: which token a browser was let in with |

A token reads `xr_ID_SECRET`. The secret has 256 bits of chance, so a plain SHA-256 protects it:
there is nothing to guess, and a check costs microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

import redis
from pydantic import BaseModel, ConfigDict, Field

TOKENS_KEY = "xr:tokens"
SESSION_S = 12 * 3600
TOKEN_FORM = re.compile(r"^xr_([a-z0-9]{8})_([A-Za-z0-9_-]{20,100})$")
NAME_FORM = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"


class Role(StrEnum):
    """What a caller may do; each may do all that the one before it may."""

    VIEWER = "viewer"  # read everything but tokens
    ON_CALL = "on-call"  # pause, resume, abort, and revert live patches
    SECURITY = "security"  # start rollouts
    ADMIN = "admin"  # read the audit trail

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what that one may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Token(BaseModel):
    """A token as it is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str = Field(pattern=NAME_FORM)
    role: Role
    secret_sha256: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None

    def works(self, now: datetime) -> bool:
        """Whether it lets anybody in at this time."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True)
class Caller:
    """Who calls, and how they came in."""

    name: str
    role: Role
    token_id: str
    csrf: str = ""  # of a browser's session; empty for a bearer token


class NoToken(Exception):
    """There is no token of that id."""


class NotLetIn(Exception):
    """The token lets nobody in; the message says why, and holds nothing of the token."""


class ProviderAway(Exception):
    """The provider's keys cannot be read, so nothing can be said of the token."""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Tokens:
    """Tokens in Redis; `draw` gives that many random bytes."""

    def __init__(self, client: redis.Redis, draw: Callable[[int], bytes]) -> None:
        self._client = client
        self._draw = draw

    def create(self, name: str, role: Role, by: str, now: datetime, until: datetime) -> str:
        """Make a token and return its text, which is shown this once.

        Raises pydantic's ValidationError for a name that is none.
        """
        token_id, secret = self._draw(4).hex(), _letters(self._draw(32))
        token = Token(
            id=token_id,
            name=name,
            role=role,
            secret_sha256=_sha256(secret),
            created_at=now,
            created_by=by,
            expires_at=until,
        )
        self._put(token)
        return f"xr_{token_id}_{secret}"

    def _put(self, token: Token) -> None:
        self._client.hset(TOKENS_KEY, token.id, token.model_dump_json())

    def all(self) -> list[Token]:
        """Every token that was ever made, the oldest first."""
        raw = cast("list[bytes]", self._client.hvals(TOKENS_KEY))
        found = [Token.model_validate_json(value) for value in raw]
        return sorted(found, key=lambda token: (token.created_at, token.id))

    def get(self, token_id: str) -> Token:
        """One token. Raises NoToken."""
        raw = cast("bytes | None", self._client.hget(TOKENS_KEY, token_id))
        if raw is None:
            raise NoToken(token_id)
        return Token.model_validate_json(raw)

    def revoke(self, token_id: str, now: datetime) -> Token:
        """It lets nobody in from this moment; sessions made with it end too. Raises NoToken."""
        token = self.get(token_id).model_copy(update={"revoked_at": now})
        self._put(token)
        return token

    def caller(self, text: str, now: datetime) -> Caller | None:
        """Who this token lets in; None where it is malformed, unknown, revoked or has ended."""
        form = TOKEN_FORM.match(text)
        if form is None:
            return None
        try:
            token = self.get(form[1])
        except NoToken:
            return None
        same = hmac.compare_digest(token.secret_sha256, _sha256(form[2]))
        return Caller(token.name, token.role, token.id) if same and token.works(now) else None

    def open_session(self, caller: Caller) -> str:
        """Let a browser in with this caller's token; returns the cookie's value."""
        cookie, csrf = _letters(self._draw(32)), _letters(self._draw(16))
        record = json.dumps({"token": caller.token_id, "csrf": csrf})
        self._client.set(_session_key(cookie), record, ex=SESSION_S)
        return cookie

    def session(self, cookie: str, now: datetime) -> Caller | None:
        """Who this cookie stands for, as long as its token works."""
        raw = cast("bytes | None", self._client.get(_session_key(cookie)))
        if raw is None:
            return None
        record = json.loads(raw)
        try:
            token = self.get(record["token"])
        except NoToken:
            return None
        if not token.works(now):
            return None
        return Caller(token.name, token.role, token.id, record["csrf"])

    def close_session(self, cookie: str) -> None:
        """The cookie lets nobody in any more."""
        self._client.delete(_session_key(cookie))


def _session_key(cookie: str) -> str:
    return f"xr:session:{_sha256(cookie)}"


def _letters(chance: bytes) -> str:
    """Random bytes in hexadecimal: survives a double click, a shell and a URL."""
    return chance.hex()
