"""Any process of a migration may be killed at any moment; what is left is what Xen would leave."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scheduler.standin.store import look
from scheduler.standin.world import GuestSpec
from tests.standin_lab import (
    Lab,
    ended,
    part_of,
    processes_of,
    two_hosts,
)
from tests.waiting import children, until

RUNS, PAUSED, STOPPED = "------", "--p---", "---ss-"
HERE = {"h1": RUNS}
AWAY = {"h1--migratedaway": STOPPED}
INCOMING = {"h1--incoming": PAUSED}
NOBODY: dict[str, str] = {}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return two_hosts(tmp_path)


# killed, signal, where the migration stands, source afterwards, destination afterwards
KILLS = [
    ("xl", "KILL", "precopy", HERE, NOBODY),
    ("xl", "TERM", "precopy", HERE, NOBODY),
    ("xl", "KILL", "suspended", {"h1": STOPPED}, NOBODY),
    # The receiver hears the end instead of GO, and destroys its copy.
    ("xl", "KILL", "renamed", AWAY, NOBODY),
    ("xl", "KILL", "named", AWAY, {"h1": RUNS}),
    ("xl", "KILL", "reported", AWAY, {"h1": RUNS}),
    ("helper", "TERM", "precopy", HERE, NOBODY),
    ("helper", "KILL", "precopy", HERE, NOBODY),
    ("helper", "KILL", "suspended", HERE, NOBODY),
    ("ssh", "KILL", "precopy", HERE, NOBODY),
    ("ssh", "KILL", "suspended", HERE, NOBODY),
    ("ssh", "KILL", "renamed", AWAY, INCOMING),
    ("ssh", "KILL", "got-go", AWAY, {"h1": RUNS}),
    ("receiver", "KILL", "precopy", HERE, INCOMING),
    ("receiver", "KILL", "restored", HERE, INCOMING),
    ("receiver", "KILL", "got-go", AWAY, INCOMING),
    ("receiver", "KILL", "named", AWAY, {"h1": PAUSED}),
    ("receiver", "KILL", "unpaused", AWAY, {"h1": RUNS}),
]


@pytest.mark.parametrize(
    ("which", "how", "point", "source", "destination"),
    KILLS,
    ids=[f"{which}-{how}-{point}" for which, how, point, _, _ in KILLS],
)
def test_a_killed_process_leaves_the_states_that_xen_leaves(
    lab: Lab,
    which: str,
    how: str,
    point: str,
    source: dict[str, str],
    destination: dict[str, str],
) -> None:
    lab.inject("h1", f"hold-{point}")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", point)
    os.kill(part_of(process.pid, which), getattr(signal, f"SIG{how}"))
    lab.clear("h1")
    assert ended(process).code != 0
    assert lab.settled("hostA", source) == source
    assert lab.settled("hostB", destination) == destination
    assert [line for line in lab.audit() if "twice" in line] == []
    until(lambda: not processes_of(lab.world.path), "the end of the whole migration")


def parts_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Every process below this one, and itself."""
    found, new = [], [process.pid]
    while new:
        found += new
        new = [child for pid in new for child in children(pid)]
    return found


def put_right(lab: Lab) -> None:
    """What an operator does: look at both ends, end what hangs, keep one copy."""
    here, there = lab.domains("hostA"), lab.domains("hostB")
    ran = [d for d in look(lab.world, "hostB")["domains"][1:] if d["cpu_s"] or d["cpu_since"]]
    if ran or there.get("h1") == RUNS:
        for name in here:
            lab.run("hostA", "xl", "destroy", name)
        return
    for name in there:
        lab.run("hostB", "xl", "destroy", name)
    if "h1--migratedaway" in here:
        lab.run("hostA", "xl", "rename", "h1--migratedaway", "h1")
    if list(here.values()) == [STOPPED]:
        # Xen 4.17 has no `xl resume`: what a binding of libxc does.
        from scheduler.standin import lifecycle
        from scheduler.standin.store import Change

        with Change(lab.world, "hostA") as change:
            lifecycle.resume(change.state["domains"][1], change.now)


@pytest.mark.parametrize("seed", range(12))
def test_kills_at_random_moments_lose_no_guest_and_run_none_twice(lab: Lab, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    time.sleep(chance.uniform(0.0, 0.35))
    victims = parts_of(process)
    for victim in chance.sample(victims, chance.randint(1, len(victims))):
        try:
            os.kill(victim, chance.choice([signal.SIGKILL, signal.SIGTERM]))
        except ProcessLookupError:
            print(f"{victim} had ended")
    ended(process)
    until(lambda: not processes_of(lab.world.path), "the end of all that was started")
    # Whatever was killed when: the states can be read and add up.
    assert sum(map(len, lab.running().values())) <= 1
    put_right(lab)
    assert list(map(len, lab.running().values())) == [1]
    assert lab.audit() == []


def test_many_migrations_at_once_both_ways_come_all_through(tmp_path: Path) -> None:
    guests = [GuestSpec(f"a{i}", "hostA", 64) for i in range(6)]
    guests += [GuestSpec(f"b{i}", "hostB", 64) for i in range(6)]
    lab = two_hosts(tmp_path, *guests)
    other = {"hostA": "hostB", "hostB": "hostA"}
    going = [lab.start(g.host, "xl", "migrate", g.name, other[g.host]) for g in guests]
    assert [ended(process).code for process in going] == [0] * 12
    assert set(lab.domains("hostA")) == {f"b{i}" for i in range(6)}
    assert set(lab.domains("hostB")) == {f"a{i}" for i in range(6)}
    assert lab.audit() == []


def test_two_migrations_of_one_guest_at_once_stand_in_the_audit(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    first = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", "precopy")
    second = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    until(lambda: any("two migrations of h1" in line for line in lab.audit()), "the audit")
    assert ended(second).code == 1
    lab.clear("h1")
    assert ended(first).code == 0


def test_a_copy_started_by_hand_beside_a_running_one_stands_in_the_audit(lab: Lab) -> None:
    lab.inject("h1", "cut-after-go")
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert lab.audit() == []
    from scheduler.standin import lifecycle
    from scheduler.standin.store import Change

    with Change(lab.world, "hostA") as change:
        lifecycle.resume(change.state["domains"][1], change.now)
    (problem,) = lab.audit()
    assert "ran twice: started on hostA (domain 1)" in problem
    assert "while it ran on hostB (domain 1)" in problem


def test_a_running_guest_that_is_destroyed_stands_in_the_audit(lab: Lab) -> None:
    lab.run("hostA", "xl", "destroy", "h1")
    assert lab.audit() == [
        "guest h1 is lost: its last copy went on hostA (destroyed)",
        "guest h1 was destroyed on hostA while it ran",
    ]
