"""Long lists in pages: a cursor names the last thing that was shown, so nothing comes twice."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from scheduler.service.problem import Problem
from scheduler.service.streams import is_stream_id

T = TypeVar("T")
Key = tuple[str, ...]

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=4096, description="`next` of the page before; none: the first.")
]


class Page(BaseModel, Generic[T]):
    """One page; `next` is null on the last one."""

    items: list[T]
    next: str | None


def page(
    items: Sequence[T], key: Callable[[T], Key], cursor: str | None, limit: int
) -> tuple[list[T], str | None]:
    """The items after the cursor, of a sequence that is sorted by `key`. Raises Problem 422."""
    start = bisect_right(items, decode(cursor), key=key) if cursor else 0
    shown = list(items[start : start + limit])
    more = start + limit < len(items)
    return shown, encode(key(shown[-1])) if more and shown else None


def page_of_log(
    items: Sequence[T], key: Callable[[T], Key], cursor: str | None, limit: int
) -> tuple[list[T], str | None]:
    """The items after the cursor, of a sequence in the order in which things came to be.

    From its beginning again where what the cursor names is gone. Raises Problem 422.
    """
    keys = [key(one) for one in items]
    last = decode(cursor) if cursor else ()
    start = keys.index(last) + 1 if last in keys else 0
    more = start + limit < len(items)
    shown = list(items[start : start + limit])
    return shown, encode(keys[start + limit - 1]) if more else None


def encode(key: Key) -> str:
    """A cursor from a key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode(cursor: str) -> Key:
    """The key in a cursor. Raises Problem 422."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        key = json.loads(raw)
    except (ValueError, binascii.Error):
        raise _bad() from None
    if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
        raise _bad()
    return tuple(key)


def stream_place(cursor: str) -> str:
    """The id of a stream's line in a cursor, as Redis takes it. Raises Problem 422."""
    key = decode(cursor)
    if len(key) != 1 or not is_stream_id(key[0]):
        raise _bad()
    return key[0]


def _bad() -> Problem:
    said = "cursor: expected the `next` of an earlier page, unchanged"
    return Problem(422, "invalid", said, [("query.cursor", said)])
