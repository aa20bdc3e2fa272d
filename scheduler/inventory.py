"""The inventory: what no dom0 can know, and the owners' wishes.

A JSON file (`xenroll.inventory/1`) that the operator keeps and applies with
`xenroll inventory apply FILE`. Pools, racks, addresses; which guests must be apart; what may be
done with a guest that cannot be moved. Everything else comes from the agents' reports.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planner.fleet import Evacuation, Policy
from scheduler.gates import GatePolicy
from scheduler.gates import problems as gate_problems


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)


class HostEntry(_Part):
    """A host, and how the others reach it."""

    name: str = Field(min_length=1, max_length=255)
    address: str | None = Field(default=None, min_length=1, max_length=255)  # None: its name
    pool: str = Field(default="default", min_length=1, max_length=255)
    group: str | None = Field(default=None, min_length=1, max_length=255)
    offers: tuple[str, ...] = ()  # beside what its agent sees


class GuestEntry(_Part):
    """A guest's wishes. `if_refused`: its owner's word for the case that it cannot be moved."""

    name: str = Field(min_length=1, max_length=255)
    apart: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # beside what its configuration shows
    evacuation: Evacuation | None = None  # None: move it where that is possible
    if_refused: Literal["restart", "hold"] = "hold"
    guest_class: str | None = Field(default=None, alias="class")
    owner: str = ""


class Inventory(_Part):
    """The whole file."""

    format: Literal["xenroll.inventory/1"] = "xenroll.inventory/1"
    policy: Policy = Policy()
    livepatch: Literal["first", "never"] = "first"  # never: hosts are rebooted even where one fits
    gates: GatePolicy = GatePolicy()
    hosts: tuple[HostEntry, ...] = ()
    guests: tuple[GuestEntry, ...] = ()
    # So long before it is moved or shut down a guest is told; 0: none is.
    notice_s: float = Field(default=0.0, ge=0, le=86_400)

    def host(self, name: str) -> HostEntry:
        """The host's entry, or one of defaults."""
        return next((host for host in self.hosts if host.name == name), HostEntry(name=name))


class InventoryError(Exception):
    """The inventory is not one; `problems` has a line for each reason, with its JSON path."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_inventory(data: bytes) -> Inventory:
    """The inventory that these bytes describe. Raises InventoryError."""
    try:
        inventory = Inventory.model_validate_json(data)
    except ValidationError as error:
        raise InventoryError([_line(dict(e)) for e in error.errors()[:20]]) from None
    problems = [
        *gate_problems(inventory.policy, inventory.gates),
        *_twice("hosts", [host.name for host in inventory.hosts]),
        *_twice("guests", [guest.name for guest in inventory.guests]),
    ]
    if problems:
        raise InventoryError(problems)
    return inventory


def _line(error: dict[str, object]) -> str:
    path = ""
    location = error["loc"]
    for part in location if isinstance(location, tuple) else ():
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{path.lstrip('.') or 'inventory'}: {error['msg']}"


def _twice(what: str, names: list[str]) -> list[str]:
    known: set[str] = set()
    problems = []
    for index, name in enumerate(names):
        if name in known:
            problems.append(f'{what}[{index}].name: "{name}" is there twice')
        known.add(name)
    return problems
