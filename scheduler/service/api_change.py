"""`/api/v1`: the inventory and the advisories, read whole and replaced."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import StringConstraints

from scheduler.advisory import Advisory, telling_payloads
from scheduler.inventory import Inventory, InventoryError, load_inventory
from scheduler.service.parts import Admin, Parts, Security, Viewer
from scheduler.service.problem import Problem, no_such, short
from scheduler.service.shapes import Kept

router = APIRouter(tags=["changes"])

Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    Query(description="Why; it is kept in the audit trail."),
]


DOCUMENT = {
    "required": True,
    "description": "The document `xenroll.inventory/1`, as `xenroll inventory apply` takes it.",
    "content": {"application/json": {"schema": {"type": "object", "title": "Inventory document"}}},
}


@router.get("/inventory")
def inventory(who: Viewer, parts: Parts) -> Inventory:
    """Pools, racks and owners' wishes, as they were applied last."""
    raw = parts.store.inventory()
    if raw is None:
        raise no_such("inventory", "yet; `xenroll inventory apply FILE`")
    try:
        return load_inventory(raw)
    except InventoryError as error:
        said = f"the inventory in use is none: {short(error.problems[0])}"
        raise Problem(409, "bad_inventory", said) from None


async def _raw(request: Request) -> bytes:
    return await request.body()


Raw = Annotated[bytes, Depends(_raw)]


@router.put("/inventory", openapi_extra={"requestBody": DOCUMENT})
def apply_inventory(raw: Raw, reason: Why, request: Request, who: Admin, parts: Parts) -> Kept:
    """Use another inventory from now on; a rollout under way plans its rest by it."""
    try:
        body = load_inventory(raw)
    except InventoryError as error:
        details = [("body", short(line)) for line in error.problems]
        raise Problem(422, "invalid", short(error.problems[0]), details) from None
    parts.note(request, who, "inventory.apply", f"{len(body.hosts)} hosts", reason)
    parts.store.apply_inventory(raw)
    return Kept(kept=f"inventory applied: {len(body.hosts)} hosts, {len(body.guests)} guests")


def _tells(advisory: Advisory, file: str) -> Problem:
    said = (
        f"livepatches: the file name {short(file)} gives the advisory away in every dom0's own "
        f"logs; until the embargo ends, name it after {short(advisory.codename or '')}"
    )
    return Problem(422, "tells_the_name", said, [("body.livepatches", said)])


@router.put("/advisories/{name}")
def put_advisory(
    name: Annotated[str, Path(max_length=200)],
    body: Advisory,
    reason: Why,
    request: Request,
    who: Security,
    parts: Parts,
    merge: Annotated[bool, Query(description="Keep what is known where this is silent.")] = False,
) -> Kept:
    """Say what an advisory is about and what makes a host safe from it."""
    if body.id != name:
        said = f"id: expected {short(name)}, as in the address"
        raise Problem(422, "invalid", said, [("body.id", said)])
    known = parts.store.advisories().get(name) if merge else None
    told = body.model_dump(exclude_unset=True)
    kept = known.model_copy(update=told) if known else body
    if telling := telling_payloads(kept, parts.clock.now()):
        raise _tells(kept, telling[0])
    parts.note(request, who, "advisory.put", name, reason)
    parts.store.put_advisory(kept)
    return Kept(kept=f"advisory {name} kept")
