"""Simulated machines: what a cut of the power ends, who starts again, what a reboot brings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.settings import load
from planner.fleet import Evacuation, Fleet
from scheduler.demo import family
from scheduler.demo.example import SMALL, SMALL_POLICY, example_fleet
from scheduler.demo.layout import Pace, Places, fixed_build, inventory_of, lay_out, toml
from scheduler.demo.layout import write_agent_settings as write_settings
from scheduler.demo.machines import Machines
from scheduler.demo.power import Power
from scheduler.inventory import load_inventory
from scheduler.standin.boot import start_reboot
from scheduler.standin.store import read_state
from tests.waiting import gone, until

PACE = Pace(speed=1000.0, report_interval_s=1.0, workers=1)


@pytest.fixture
def fleet() -> Fleet:
    return example_fleet(3, SMALL, SMALL_POLICY)


@pytest.fixture
def places(tmp_path: Path, fleet: Fleet) -> Places:
    made = Places(tmp_path / "state")
    lay_out(made, fleet, b"{}", PACE, frozenset())
    return made


TREE = """
import os, subprocess, sys, time
from scheduler.demo.family import adopt_orphans
adopt_orphans()
shell = "setsid sh -c 'sleep 300 & sleep 300' & setsid sleep 300"
subprocess.Popen(["sh", "-c", shell])
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_cut_of_the_power_ends_a_process_and_all_below_it_in_any_session(
    tree: subprocess.Popen[str],
) -> None:
    until(lambda: len(family.descendants(tree.pid)) >= 4)
    below = family.descendants(tree.pid)
    family.cut_power(tree.pid)
    assert tree.wait(120) == -signal.SIGKILL
    until(lambda: all(gone(process.pid) for process in below))


def test_settings_that_are_written_are_settings_that_an_agent_reads(
    places: Places, fleet: Fleet
) -> None:
    write_settings(places, fleet, "unix:///s", PACE)
    for host in fleet.hosts:
        settings = load(places.agent_settings(host.name))
        assert settings.host == host.name
        assert os.access(settings.xl[0], os.X_OK)
        assert settings.path(settings.boot_id_path).read_text().strip()


def test_toml_keeps_every_kind_of_value() -> None:
    value = {"text": 'a "b" \\ c', "number": 2.5, "truth": True, "list": ["x"], "n": [{"k": "v"}]}
    assert tomllib.loads(toml(value)) == value


def test_the_inventory_says_what_no_dom0_can_know(fleet: Fleet) -> None:
    refusing = next(g.name for g in fleet.guests if g.evacuation is Evacuation.MOVE)
    text = inventory_of(fleet, frozenset({refusing})).model_dump_json(by_alias=True)
    inventory = load_inventory(text.encode())
    assert {host.name: host.group for host in inventory.hosts} == {
        host.name: host.group for host in fleet.hosts
    }
    assert {guest.name: guest.apart for guest in inventory.guests} == {
        guest.name: guest.apart for guest in fleet.guests
    }
    may_restart = {guest.name for guest in inventory.guests if guest.if_refused == "restart"}
    held = {guest.name for guest in fleet.guests if guest.evacuation is Evacuation.RESTART}
    assert may_restart == held | {refusing}


def test_a_reboot_ends_the_machine_and_brings_it_back_on_the_fixed_build(
    places: Places, fleet: Fleet
) -> None:
    power = Power(places.world, reboot_s=30.0)
    host = fleet.hosts[0].name
    assert power.went_down() == []
    assert host in power.up()
    start_reboot(power.world, host)
    assert power.went_down() == [host]
    assert power.went_down() == []

    def back() -> bool:
        power.boot_what_is_due()
        return host in power.up()

    until(back)
    assert read_state(power.world, host)["xen"]["build_id"] == fixed_build(fleet)


def agent_of_one_line(settings: Path) -> int:
    """In the place of an agent: says that it began, then lives until it is killed."""
    subprocess.Popen(["setsid", "sleep", "300"])
    with (settings.parent / "lives").open("a") as lives:
        lives.write(f"{os.getpid()}\n")
    while True:
        signal.pause()


def lives(places: Places, host: str) -> list[int]:
    path = places.agent(host) / "lives"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def machines(places: Places, fleet: Fleet) -> Iterator[Machines]:
    write_settings(places, fleet, "unix:///s", PACE)
    made = Machines(places, Power(places.world, reboot_s=30.0), agent_of_one_line)
    yield made
    for pid in made.pids.values():
        family.cut_power(pid)
        os.waitpid(pid, 0)


def test_an_agent_that_is_killed_is_started_again(machines: Machines, fleet: Fleet) -> None:
    host = fleet.hosts[1].name
    machines.look_after()
    until(lambda: len(lives(machines.places, host)) == 1)
    os.kill(lives(machines.places, host)[0], signal.SIGKILL)
    until(lambda: len(lives(machines.places, host)) == 2)


def test_a_machine_that_reboots_loses_every_process_and_is_forked_again(
    machines: Machines, fleet: Fleet
) -> None:
    host = fleet.hosts[2].name
    machines.look_after()
    until(lambda: len(lives(machines.places, host)) == 1)
    first = machines.pids[host]
    before = [first, *(process.pid for process in family.descendants(first))]
    assert len(before) >= 2
    start_reboot(machines.power.world, host)

    def forked_again() -> bool:
        machines.look_after()
        return machines.pids.get(host) not in (None, first)

    until(forked_again)
    until(lambda: all(gone(pid) for pid in before))
    until(lambda: len(lives(machines.places, host)) == 2)
