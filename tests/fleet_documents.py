"""A fleet file's object, to be changed by a test."""

from __future__ import annotations

import json
from typing import Any

from tests.make import fleet, fleet_json, guest, host

Document = dict[str, Any]


def document() -> Document:
    """Two hosts and two guests, every field of each given."""
    seen = fleet(
        [host("n1", group="rack1", offers=["san"]), host("n2")],
        [
            guest("a", "n1", uuid="u-1", needs=["san"], apart=["web"], guest_class="pvh"),
            guest("b", "n2", overhead_mib=40),
        ],
    )
    made: Document = json.loads(fleet_json(seen))
    return made


def changed(path: str, value: Any) -> Document:
    """The document with another value at a path such as `guests.1.vcpus`."""
    made = document()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = made
    for part in parents:
        at = at[part]
    at[last] = value
    return made
