"""Reads a fleet file."""

from __future__ import annotations

from typing import NoReturn

from planner.fleet import Fleet, FleetError
from planner.fleet_errors import fleet_problems
from planner.json_text import JsonError, collector_paused, parse, repeated_keys
from planner.ranges import LISTED


def read_fleet(data: bytes) -> Fleet:
    """The fleet in these bytes; raises FleetError."""
    with collector_paused():
        _refuse_bad(data)
        return Fleet.model_validate_json(data, by_alias=True, by_name=False)


def _refuse_bad(data: bytes) -> None:
    try:
        document = parse(data)
    except JsonError as error:
        raise FleetError([str(error)]) from error
    problems, all_seen = fleet_problems(document)
    if all_seen:
        twice = repeated_keys(data, document, LISTED + 1)
        problems = [f"{path}: stands twice in one object" for path in twice] + problems
    if problems:
        _refuse(problems, all_seen)


def _refuse(problems: list[str], all_seen: bool) -> NoReturn:
    raise FleetError(problems[:LISTED], max(0, len(problems) - LISTED), all_seen)
