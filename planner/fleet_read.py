"""Reads a fleet file."""

from __future__ import annotations

from pydantic import ValidationError

from planner.fleet import Fleet, FleetError


def read_fleet(data: bytes) -> Fleet:
    """The fleet in these bytes; raises FleetError."""
    try:
        return Fleet.model_validate_json(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise FleetError([str(error)]) from error
