"""A rollout with guests whose disks are not there: agents, workers, controller, simulated hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.demo.run import CONTROLLER
from scheduler.demo.stage import Stage
from scheduler.rollout import RolloutState
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.ledger import audit, events
from scheduler.standin.san import DISK_BYTES
from scheduler.standin.store import World
from tests.chaos_kit import begin, small_stage, until
from tests.make import fleet, guest, host

STORAGE = "storage:a"
PATIENT = {**CONTROLLER, "XENROLL_LIMITS__HELD_LIMIT_S": "900"}


@pytest.fixture
def stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    offers = ["bridge:xenbr0", STORAGE]
    hosts = [
        host("n1", gib=8, offers=offers, xen="4.18"),
        host("n2", gib=8, offers=offers, xen="4.19", reboot=False),
    ]
    needs = ["bridge:xenbr0", STORAGE, "pvh"]
    guests = [guest(f"g{n}", "n1", gib=0.5, needs=needs) for n in range(4)]
    small = fleet(hosts, guests, reboot_s=60.0, xen_after="4.19")
    with small_stage(tmp_path, small, redis_url, PATIENT) as made:
        yield made


def disk_of(name: str) -> str:
    return f"/dev/san/a/{name}"


def held_for(stage: Stage, told: dict[str, str]) -> dict[str, str]:
    """Wait until each of these guests is held for these words; why who is held."""
    held: dict[str, str] = {}

    def all_held() -> bool:
        steps = stage.store.book(stage.store.ids()[-1]).steps.values()
        held.update({step.guest or "": step.reason for step in steps if step.held_since})
        return all(words in held.get(name, "") for name, words in told.items())

    until(stage, all_held, 300.0, "three guests held for their disks")
    return held


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rollout_moves_no_guest_whose_disk_is_not_there_and_goes_on_when_it_is(
    stage: Stage,
) -> None:
    world = World(str(stage.plot.places.world))
    for name, fault in (("g0", "missing"), ("g1", "size"), ("g2", "unreadable")):
        inject(world, "n2", f"disk-{fault}", text=disk_of(name))
    begin(stage)
    store = stage.store
    told = {
        "g0": "No such file or directory",
        "g1": f"has {DISK_BYTES // 2} bytes there and {DISK_BYTES} on n1",
        "g2": "Input/output error",
    }
    held = held_for(stage, told)
    where = f"its disk xvda ({disk_of('g0')})"
    assert held["g0"] == f"n2 cannot take g0: {where}: No such file or directory"
    moved = {e["name"] for e in events(world) if e["event"] == "migrate"}
    assert moved <= {"g3"}, "nothing was started for those whose disks are not there"
    clear(world, "n2")
    until(
        stage,
        lambda: store.head(store.ids()[-1]).state is RolloutState.DONE,
        300.0,
        "the rollout is done",
    )
    assert {e["name"] for e in events(world) if e["event"] == "migrate"} == {*told, "g3"}
    assert audit(world) == []
    code, said = stage.xenroll("rollout", "moves", "-o", "json")
    assert code == 0, said
    bounds = {one["guest"]: one["blackout"] for one in json.loads(said)}
    assert sorted(bounds) == ["g0", "g1", "g2", "g3"]
    assert all(0 <= one["at_least_s"] <= one["at_most_s"] for one in bounds.values())
    assert "BLACKOUT" in stage.xenroll("rollout", "moves")[1]
    shown = stage.xenroll("guest", "show", "g0")[1]
    assert f"disk xvda ({disk_of('g0')})" in shown
