"""Reverts of live patches, as a person asks for them, in front of a fleet in virtual time."""

from __future__ import annotations

from scheduler.control import Controller
from scheduler.reverts import Revert
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served
from tests.test_livepatch_stories import FILES, PATCHED, small_fleet

WHY = "guests are slow since"


def patched_fleet(client: object, **sim: object) -> RedisFleet:
    """Four hosts for which a payload fits, and nothing begun."""
    played = RedisFleet(
        client,  # type: ignore[arg-type]
        small_fleet(),
        **{"advisories": (PATCHED,), "payloads": FILES, **sim},
    )
    inventory = played.sim.inventory.model_dump_json(by_alias=True).encode()
    played.store.apply_inventory(inventory)
    played.store.put_advisory(PATCHED)
    played.publish()
    return played


def body(host: str = "h2", payload: str = "xsa1", reason: str = WHY) -> dict[str, str]:
    return {"host": host, "payload": payload, "reason": reason}


def asked(service: Served, **more: str) -> str:
    """A revert that was taken; its id."""
    said = service.post("/livepatches/actions/revert", body(**more))
    assert said.status_code == 202, said.text
    return str(said.json()["revert"])


def row(service: Served, host: str = "h2", payload: str = "xsa1") -> dict[str, str]:
    """What the list says of a payload."""
    items = service.get("/livepatches", host=host).json()["items"]
    [found] = [one for one in items if one["payload"] == payload]
    return dict(found)


def rounds(played: RedisFleet, controller: Controller, number: int = 8) -> None:
    for _ in range(number):
        played.round(controller)


def reverts(controller: Controller) -> list[Revert]:
    return controller.reverting.store.all()
