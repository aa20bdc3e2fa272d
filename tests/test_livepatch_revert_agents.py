"""A live patch taken back by real agents, workers, controller and commands on a real server.

Two simulated hosts with one live patch each, and on one of them a second one on top of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.demo.stage import Stage
from scheduler.rollout import RolloutState
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.store import World, read_state
from tests.chaos_kit import small_stage, until
from tests.make import fleet, guest, host
from tests.test_livepatch_agents import BRIDGE, xenroll

HOSTS = ("n1", "n2")
REVERT = ("livepatch", "revert")


@pytest.fixture
def stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    hosts = [host(name, gib=8, offers=[BRIDGE]) for name in HOSTS]
    guests = [guest(f"g{n}", f"n{n + 1}", gib=0.5, needs=[BRIDGE, "pvh"]) for n in range(2)]
    small = fleet(hosts, guests, canary_hosts=1, reboot_s=60.0)
    with small_stage(tmp_path, small, redis_url) as made:
        yield made


def payload(stage: Stage, name: str, text: str) -> Path:
    """A payload in the folder of each host, and on the control node."""
    for one in HOSTS:
        folder = stage.plot.places.root(one) / "var/lib/xen/livepatch"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.livepatch").write_text(text)
    file = stage.plot.places.state_dir / f"{name}.livepatch"
    file.write_text(text)
    return file


def roll(stage: Stage, advisory: str) -> None:
    """A rollout that only loads live patches, to its end."""
    xenroll(stage, "rollout", "start", advisory, "--reason", "a test")
    name = stage.store.ids()[-1]
    until(stage, lambda: stage.store.head(name).state is RolloutState.DONE, 300.0, "it is done")


def patches(stage: Stage) -> dict[tuple[str, str], str]:
    rows = json.loads(xenroll(stage, "livepatch", "list", "--json"))
    return {(row["host"], row["payload"]): row["state"] for row in rows}


def exposures(stage: Stage, advisory: str) -> dict[str, str]:
    shown = json.loads(xenroll(stage, "advisory", "show", advisory, "--json"))
    return {name: one["exposure"] for name, one in shown["standings"].items()}


def plan(stage: Stage) -> str:
    return xenroll(stage, "rollout", "start", "XSA-1", "--reason", "what if", "--dry-run")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_live_patch_is_loaded_listed_reverted_and_not_loaded_again(stage: Stage) -> None:
    world = World(str(stage.plot.places.world))
    build = str(read_state(world, "n1")["xen"]["build_id"])
    first = payload(stage, "xsa1", f"build-id: {build}\nid: one\nmetadata: a test\n")
    second = payload(stage, "xsa2", f"build-id: {build}\nid: two\ndepends: one\n")
    xenroll(stage, "inventory", "apply", str(stage.plot.places.inventory))
    for name, file in (("XSA-1", first), ("XSA-2", second)):
        xenroll(stage, "advisory", "add", name, "--livepatch", f"{build}={file}")
    stage.machines.start()
    stage.controller.start()
    stage.wait_for_agents(lambda here, of: None)
    roll(stage, "XSA-1")
    roll(stage, "XSA-2")
    everything = {(one, name): "applied" for one in HOSTS for name in ("xsa1", "xsa2")}
    until(stage, lambda: patches(stage) == everything, 300.0, "both are listed as applied")

    below = xenroll(stage, *REVERT, "n1", "xsa1", "--reason", "slow guests", code=1)
    assert "xsa1 is still applied on n1: Xen reverts only what was applied last" in below
    assert "xsa2 is applied, too: revert that first" in below
    assert "xsa9 is not applied on n1" in xenroll(stage, *REVERT, "n1", "xsa9", code=1)
    assert "there is no host n9" in xenroll(stage, *REVERT, "n9", "xsa1", code=8)
    inject(world, "n1", "livepatch-busy", count=50)
    stuck = xenroll(stage, *REVERT, "n1", "xsa2", "--reason", "slow guests", code=1)
    assert "xsa2 is still applied on n1 (exit code 2, Error 11" in stuck
    clear(world, "n1")
    for name in ("xsa2", "xsa1"):
        said = xenroll(stage, *REVERT, "n1", name, "--reason", "slow guests")
        assert f"{name} is reverted on n1, which is exposed again" in said

    assert [one["state"] for one in read_state(world, "n1")["livepatches"]] == ["CHECKED"] * 2
    assert [one["state"] for one in read_state(world, "n2")["livepatches"]] == ["APPLIED"] * 2
    gone = {("n1", name): "reverted" for name in ("xsa1", "xsa2")}
    until(stage, lambda: patches(stage) == everything | gone, 300.0, "both are listed as reverted")
    assert exposures(stage, "XSA-1") == {"n1": "exposed", "n2": "livepatched"}
    assert "1 hosts: reboot: reboot for XSA-1: live patch xsa1 was reverted by" in plan(stage)
    xenroll(stage, "livepatch", "allow", "n1", "xsa1", "--reason", "it was the disk")
    assert "1 hosts: livepatch: live patch xsa1: fits build" in plan(stage)
