"""Checks lists of JSON objects a field at a time, fast where all is well.

A file of 50 MB may be wrong in every place, so a check first asks about a whole column of values
at once, and goes through them one by one only where the answer is no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from planner.json_text import joined, shown

MISSING: Any = object()
Found = tuple[int, str]
"""The row of a problem, and the line that tells of it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the values of a field may be.

    `all_good` may answer no for a good column (then `good` decides for each value), never yes for
    a bad one. `item` is the kind of a list's items.
    """

    expected: str
    good: Callable[[Any], bool]
    all_good: Callable[[Sequence[Any]], bool]
    item: Kind | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object; where it is optional, the default is a matter of the models."""

    kind: Kind
    required: bool = True


Fields = Mapping[str, Field]


def _of_type(values: Sequence[Any], *types: type) -> bool:
    return set(map(type, values)) <= set(types)


def text(expected: str = "a non-empty string without control characters") -> Kind:
    """A name: not empty, no control character."""

    def all_good(values: Sequence[Any]) -> bool:
        return _of_type(values, str) and "" not in values and "".join(values).isprintable()

    return Kind(expected, lambda v: type(v) is str and v != "" and not _CONTROL.search(v), all_good)


def matching(pattern: str, expected: str) -> Kind:
    """A string that the whole of a pattern matches."""
    found = re.compile(pattern).fullmatch

    def good(value: Any) -> bool:
        return type(value) is str and found(value) is not None

    def all_good(values: Sequence[Any]) -> bool:
        return _of_type(values, str) and all(map(good, set(values)))

    return Kind(expected, good, all_good)


def number(low: float, high: float, *, whole: bool = False, above: bool = False) -> Kind:
    """A number from `low` to `high`; an integer where `whole`; more than `low` where `above`."""
    types: tuple[type, ...] = (int,) if whole else (int, float)
    what = "an integer" if whole else "a number"
    limits = f"above {low}, at most {high}" if above else f"from {low} to {high}"

    def inside(value: Any) -> bool:
        return bool(low < value <= high if above else low <= value <= high)

    def all_good(values: Sequence[Any]) -> bool:
        return _of_type(values, *types) and inside(min(values)) and inside(max(values))

    return Kind(f"{what} {limits}", lambda v: type(v) in types and inside(v), all_good)


def choice(*options: Any) -> Kind:
    """One of a few values of one type: strings or booleans."""
    expected = " or ".join(shown(option) for option in options)
    kind = type(options[0])

    def good(value: Any) -> bool:
        return type(value) is kind and value in options

    return Kind(expected, good, lambda values: _of_type(values, kind) and set(values) <= {*options})


def listed(item: Kind, what: str) -> Kind:
    """A list of values of one kind."""

    def all_good(values: Sequence[Any]) -> bool:
        if not _of_type(values, list):
            return False
        items = list(chain.from_iterable(values))
        return not items or item.all_good(items)

    return Kind(f"a list of {what}", lambda value: type(value) is list, all_good, item)


def or_null(kind: Kind) -> Kind:
    """The kind, or null."""

    def all_good(values: Sequence[Any]) -> bool:
        given = [value for value in values if value is not None]
        return not given or kind.all_good(given)

    expected = f"{kind.expected}, or null"
    return Kind(expected, lambda v: v is None or kind.good(v), all_good, kind.item)


def row_problems(rows: Mapping[int, Any], fields: Fields, path: str) -> Iterator[Found]:
    """The problems of these rows (by index) of the list at `path`; not in order."""
    objects = {index: row for index, row in rows.items() if type(row) is dict}
    if len(objects) < len(rows):
        for index in rows.keys() - objects.keys():
            yield index, f"{path}[{index}]: expected an object, got {shown(rows[index])}"
    yield from _unknown(objects, fields, path)
    for name, field in fields.items():
        yield from _column(objects, name, field, path)


def object_problems(value: Mapping[str, Any], fields: Fields, path: str) -> list[str]:
    """The problems of one object of the document."""
    rows = {0: value}
    found = list(_unknown(rows, fields, ""))
    for name, field in fields.items():
        found += _column(rows, name, field, "")
    return [joined(path, line.removeprefix("[0].")) for _, line in found]


def _unknown(
    objects: Mapping[int, Mapping[str, Any]], fields: Fields, path: str
) -> Iterator[Found]:
    if set(chain.from_iterable(objects.values())) <= fields.keys():
        return
    for index, row in objects.items():
        for key in row:
            if key not in fields:
                where = joined(f"{path}[{index}]", key)
                yield index, f"{where}: unknown field; expected one of {', '.join(fields)}"


def _column(
    objects: Mapping[int, Mapping[str, Any]], name: str, field: Field, path: str
) -> Iterator[Found]:
    values = [row.get(name, MISSING) for row in objects.values()]
    present = [value for value in values if value is not MISSING]
    complete = len(present) == len(values) or not field.required
    if complete and (not present or field.kind.all_good(present)):
        return
    for index, value in zip(objects, values, strict=True):
        where = f"{path}[{index}].{name}"
        if value is not MISSING:
            yield from ((index, line) for line in _wrong(value, field.kind, where))
        elif field.required:
            yield index, f"{where}: missing; expected {field.kind.expected}"


def _wrong(value: Any, kind: Kind, where: str) -> Iterator[str]:
    if not kind.good(value):
        yield f"{where}: expected {kind.expected}, got {shown(value)}"
    elif kind.item is not None and value is not None:
        for index, item in enumerate(value):
            if not kind.item.good(item):
                yield f"{where}[{index}]: expected {kind.item.expected}, got {shown(item)}"
