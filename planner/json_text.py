"""JSON as the two files want it: one UTF-8 object, each key once, numbers that are numbers."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import orjson

MAX_SHOWN = 60
"""Characters of a value that a message shows."""


class JsonError(Exception):
    """The bytes are not one JSON value; the text says where and why."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside: a large document holds no cycles and makes it run for long.

    Reading 120,000 guests takes a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def parse(data: bytes) -> Any:
    """The value in these bytes; of a repeated key, the last one counts. Raises JsonError."""
    if not data.strip():
        raise JsonError("the file is empty; expected one JSON object")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise JsonError(_explain(data, error)) from error


def _explain(data: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start}: not UTF-8 (0x{data[wrong.start]:02x})"
    return f"line {error.lineno}, column {error.colno}: {_reason(text, error.pos, error.msg)}"


def _reason(text: str, position: int, message: str) -> str:
    # Of a number without digits, the parser points behind the sign.
    for word, at in (("-Infinity", position - 1), ("Infinity", position), ("NaN", position)):
        if text.startswith(word, max(0, at)):
            return f"{word} is not a JSON number"
    return message


def repeated_keys(data: bytes, value: Any, at_most: int) -> list[str]:
    """The JSON paths of the first keys that stand twice in one object of this document.

    `value` is what `parse` made of the bytes. Nearly always a count settles it: every key is
    followed by a colon, so no more colons than keys that are left means that none was lost.
    """
    if not _may_repeat(data, value):
        return []
    marked = json.loads(data, object_pairs_hook=_Marker(at_most).mark)
    return list(islice(_paths(marked, ""), at_most))


def _may_repeat(data: bytes, value: Any) -> bool:
    spaced = any(data.count(space + b":") for space in (b" ", b"\t", b"\n", b"\r"))
    # With no space before a colon, each key of the text shows as `":` (a string may as well).
    return spaced or data.count(b'":') != _keys(value)


def _keys(value: Any) -> int:
    """Keys in the value, or fewer: where long lists hold objects within objects."""
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    if not isinstance(value, list):
        return 0
    if len(value) > 1000:
        return sum(len(item) for item in value if isinstance(item, dict))
    return sum(_keys(item) for item in value if isinstance(item, dict | list))


class _Repeated(dict[str, Any]):
    """An object of the document that has a key twice."""

    twice: tuple[str, ...] = ()


class _Marker:
    """Makes the document's objects, and marks the first of those that have a key twice."""

    def __init__(self, at_most: int) -> None:
        self._left = at_most

    def mark(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs) or not self._left:
            return made
        self._left -= 1
        marked = _Repeated(made)
        count = Counter(key for key, _ in pairs)
        marked.twice = tuple(key for key in count if count[key] > 1)
        return marked


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Repeated):
        yield from (joined(path, key) for key in value.twice)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield from _paths(item, joined(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _paths(item, f"{path}[{index}]")


def joined(path: str, key: str) -> str:
    """The JSON path of a key in the object at `path`, on one line whatever the key."""
    plain = key if key.isprintable() and key else shown(key)
    return f"{path}.{plain}" if path else plain


def shown(value: Any) -> str:
    """The value as a message shows it: JSON on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
