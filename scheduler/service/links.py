"""Login links that let one browser in, once.

| key | what |
|---|---|
| `xr:link:HASH` | string with an end: the token that the link stands for |

What the link holds is a code of 256 bits of chance, not the token: who finds it in a terminal's
history later finds a code that is used up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import redis

from scheduler.service.access import Caller, Role, Tokens

CODE_FORM = re.compile(r"^xr1_[0-9a-f]{64}$")
LINK_S = 30 * 60
"""A link that nobody opened ends after this."""


def make_link(
    client: redis.Redis,
    draw: Callable[[int], bytes],
    name: str,
    role: Role,
    by: str,
    now: datetime,
    lasts: timedelta,
) -> str:
    """A code for `/login#CODE`; whoever opens it first is `name` for as long as `lasts`."""
    token = Tokens(client, draw).create(name, role, by, now, now + lasts)
    code = f"xr1_{draw(32).hex()}"
    client.set(_key(code), token.split("_")[1], ex=LINK_S)
    return code


def open_link(client: redis.Redis, tokens: Tokens, code: str, now: datetime) -> Caller | None:
    """Who a code lets in; it lets nobody in a second time. None where it is none, or used up."""
    if not CODE_FORM.match(code):
        return None
    raw = cast("bytes | None", client.getdel(_key(code)))
    if raw is None:
        return None
    token = tokens.get(raw.decode())
    return Caller(token.name, token.role, token.id) if token.works(now) else None


def _key(code: str) -> str:
    return f"xr:link:{hashlib.sha256(code.encode()).hexdigest()}"
