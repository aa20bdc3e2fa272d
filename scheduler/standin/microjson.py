"""JSON without importing `json`, which (with `re` under it) would double the start of every `xl`.

`_json` is the C half of CPython's own json package.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Rules:
    """What the C scanner wants to know: plain objects, plain numbers, strict text."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _refuse(value: object) -> Any:
    raise TypeError(f"not JSON: {type(value).__name__}")


_scan = make_scanner(_Rules)  # type: ignore[arg-type]
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)


def loads(text: str) -> Any:
    """The value at the start of `text`; ValueError where it is not JSON or is cut short."""
    try:
        return _scan(text, 0)[0]
    except StopIteration:
        raise ValueError("no JSON value where one was expected") from None


def dumps(value: object) -> str:
    """`value` as JSON on one line, in ASCII."""
    return "".join(_encode(value, 0))
