"""Reads a fleet file."""

from __future__ import annotations

from typing import Any, NoReturn

from planner.fleet import Fleet, FleetError
from planner.fleet_errors import fleet_problems
from planner.json_text import JsonError, collector_paused, parse, repeated_keys
from planner.ranges import LISTED

BEGINNING_BYTES = 3_000_000
"""Of a larger document, so much is looked at before all of it is parsed."""


def read_fleet(data: bytes) -> Fleet:
    """The fleet in these bytes; raises FleetError."""
    with collector_paused():
        _refuse_bad(data)
        return Fleet.model_validate_json(data, by_alias=True, by_name=False)


def _refuse_bad(data: bytes) -> None:
    if len(data) > 2 * BEGINNING_BYTES:
        problems = _problems_at_the_beginning(data)
        if len(problems) >= LISTED:
            _refuse(problems, False)
    try:
        document = parse(data)
    except JsonError as error:
        raise FleetError([str(error)]) from error
    problems, all_seen = fleet_problems(document)
    if all_seen:
        problems = _repeated(data, document) + problems
    if problems:
        _refuse(problems, all_seen)


def _repeated(data: bytes, document: Any) -> list[str]:
    twice = repeated_keys(data, document, LISTED + 1)
    return [f"{path}: stands twice in one object" for path in twice]


def _problems_at_the_beginning(data: bytes) -> list[str]:
    """Problems of what a large document holds before some closing brace.

    Where that parses, the brace closes a row of the hosts or of the guests, and the rows up to
    there are the document's: a brace within a string would leave the string open.
    """
    beginning = data[: data.find(b"}", BEGINNING_BYTES) + 1] + b"]}"
    try:
        document = parse(beginning)
    except JsonError:
        return []
    if type(document) is not dict:
        return []
    problems = _repeated(beginning, document)
    if list(document)[-1:] == ["hosts"]:
        # Guests may be on hosts that are yet to come.
        document.pop("guests", None)
    return problems + fleet_problems(document, is_whole=False)[0]


def _refuse(problems: list[str], all_seen: bool) -> NoReturn:
    raise FleetError(problems[:LISTED], max(0, len(problems) - LISTED), all_seen)
