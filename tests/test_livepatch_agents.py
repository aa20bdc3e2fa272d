"""One rollout with live patches by real agents, workers, controller and commands on a real server.

Three simulated hosts: one is patched at once, one when its CPUs are no longer busy; on the third
the patch fails, so it is emptied and rebooted, and comes back without its bridge at first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.demo.layout import fixed_build
from scheduler.demo.stage import Stage
from scheduler.rollout import HostState, RolloutState
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.ledger import audit, running
from scheduler.standin.store import World, read_state
from tests.chaos_kit import small_stage, until
from tests.make import fleet, guest, host

BRIDGE = "bridge:xenbr0"


@pytest.fixture
def stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    hosts = [host(name, gib=8, offers=[BRIDGE]) for name in ("n1", "n2", "n3")]
    guests = [guest(f"g{n}", f"n{n % 3 + 1}", gib=0.5, needs=[BRIDGE, "pvh"]) for n in range(6)]
    small = fleet(hosts, guests, canary_hosts=1, reboot_s=60.0)
    with small_stage(tmp_path, small, redis_url) as made:
        yield made


def xenroll(stage: Stage, *words: str, code: int = 0) -> str:
    found, said = stage.xenroll(*words)
    assert found == code, said
    return said


def distribute(stage: Stage, build: str, *hosts: str) -> Path:
    """Bring the payload to these hosts, as an operator does; where it lies on the control node."""
    text = f"build-id: {build}\nmetadata: a test\n"
    for name in hosts:
        folder = stage.plot.places.root(name) / "var/lib/xen/livepatch"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "xsa1.livepatch").write_text(text)
    file = stage.plot.places.state_dir / "xsa1.livepatch"
    file.write_text(text)
    return file


def start_all(stage: Stage, *patch: str) -> None:
    """Say what the fleet and the advisory with this patch are; agents and controller run."""
    xenroll(stage, "inventory", "apply", str(stage.plot.places.inventory))
    xenroll(stage, "advisory", "add", "XSA-1", *patch)
    stage.machines.start()
    stage.controller.start()
    stage.wait_for_agents(lambda here, of: None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hosts_are_patched_and_the_third_falls_to_a_reboot(stage: Stage) -> None:
    world = World(str(stage.plot.places.world))
    old, new = str(read_state(world, "n1")["xen"]["build_id"]), fixed_build(stage.plot.fleet)
    file = distribute(stage, old, "n1", "n2")
    start_all(stage, "--livepatch", f"{old}={file}", "--fixed-build", new)
    refused = xenroll(stage, "rollout", "start", "XSA-1", "--reason", "a test", code=4)
    assert "there is no xsa1.livepatch in the payload directory of n3" in refused
    distribute(stage, old, "n3")
    inject(world, "n2", "livepatch-busy", count=2)
    inject(world, "n3", "livepatch-fails")
    inject(world, "n3", "boots-without-bridge")
    said = xenroll(stage, "rollout", "start", "XSA-1", "--reason", "a test")
    assert "3 hosts: livepatch: live patch xsa1: fits build" in said

    rollout_id = stage.store.ids()[-1]

    def lacks() -> bool:
        return "xenbr0" in stage.store.book(rollout_id).hosts["n3"].reason

    until(stage, lacks, 300.0, "n3 is back without its bridge")
    assert stage.store.book(rollout_id).hosts["n3"].state is not HostState.FIXED
    clear(world, "n3")  # somebody brings the bridge up
    ended = (RolloutState.DONE, RolloutState.STOPPED)
    until(stage, lambda: stage.store.head(rollout_id).state in ended, 300.0, "the rollout ends")

    shown = json.loads(xenroll(stage, "rollout", "show", "--json"))
    assert shown["state"] == "done", xenroll(stage, "rollout", "status")
    ways = {one["name"]: one["choice"]["way"] for one in shown["hosts"]}
    assert ways == {"n1": "livepatch", "n2": "livepatch", "n3": "reboot"}
    third = shown["hosts"][2]
    assert "live patch xsa1 failed" in third["choice"]["reason"]
    assert third["state"] == "fixed" and third["after"]["build_id"] == new
    states = {name: read_state(world, name) for name in ("n1", "n2", "n3")}
    assert [s["xen"]["build_id"] for s in states.values()] == [old, old, new]
    patches = states["n1"]["livepatches"] + states["n2"]["livepatches"]
    assert [patch["state"] for patch in patches] == ["APPLIED", "APPLIED"]
    assert audit(world) == []
    places = running(world)
    assert len(places) == 6 and all(len(where) == 1 for where in places.values())
