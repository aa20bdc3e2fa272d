"""What goes wrong on real Xen, one case each: what xenroll makes of it, and how the guest fares.

Run by `make test-lab-failures`. Two hosts: lab-1 runs a hypervisor that is to be replaced, lab-2
the fixed one, so that every rollout moves one guest from lab-1 to lab-2. Each case says what it
found; with XENROLL_LAB_RECORD=FOLDER it is written down there too.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.guests import Guest
from deploy.lab.scene import DESTINATION, HELPER, RECEIVER, SENDER, SOURCE
from scheduler.rollout import HostState, RolloutState
from tests.lab_acts import (
    AGENT,
    SLOW_MS,
    SSH,
    crash_on_arrival,
    fill_memory,
    lose_its_monitor,
    slow_handshake,
    take_its_name,
    until_xl_has_ended,
    wake,
)
from tests.lab_kit import say
from tests.lab_play import HOSTS, Play, half_fixed, play
from tests.lab_stage import ADVISORY, Stage, now

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with half_fixed() as made:
        yield made


@pytest.fixture
def ended(stage: Stage) -> Iterator[list[Play]]:
    """The plays of a test, each brought to its end and written down, however the test went."""
    plays: list[Play] = []
    yield plays
    folder = os.environ.get("XENROLL_LAB_RECORD")
    for one in plays:
        try:
            if folder:
                one.write(Path(folder))
        finally:
            one.end()


@pytest.mark.parametrize(
    ("case", "guest", "signal", "victim"),
    [
        ("helper-terminated", Guest("helper", 1), "TERM", HELPER),
        ("ssh-killed", Guest("ssh", 2), "KILL", SSH),
        ("xl-killed", Guest("xl", 3), "KILL", SENDER),
    ],
    ids=["helper-terminated", "ssh-killed", "xl-killed"],
)
def test_what_is_killed_at_the_source_leaves_the_guest_where_it_was(
    stage: Stage, ended: list[Play], case: str, guest: Guest, signal: str, victim: str
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming")
        one.scene.signal(SOURCE, signal, victim)
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, case, guest, act)


def test_a_killed_receiver_leaves_a_rest_that_is_cleaned_up(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming", f"KILL:{RECEIVER}")
        one.outcome("stayed")
        assert "--incoming" not in one.scene.destination.check("xl list")
        one.note("its stale --incoming, which never ran, was destroyed by a mend")
        one.alive_on(SOURCE)

    play(stage, ended, "receiver-killed", Guest("receiver", 4), act)


def test_a_guest_that_is_paused_on_the_way_stays_paused_where_it_was(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming")
        one.scene.source.check(f"xl pause {one.guest.name}")
        one.outcome("stayed")
        one.scene.source.check(f"xl unpause {one.guest.name}")
        one.alive_on(SOURCE)

    play(stage, ended, "paused", Guest("paused", 5), act)


def test_a_guest_that_ignores_suspend_is_held_and_runs_on(stage: Stage, ended: list[Play]) -> None:
    def act(one: Play) -> None:
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "deaf-guest", Guest("deaf", 6, deaf=True), act)


def test_too_little_memory_there_leaves_the_guest_where_it_was(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming", f"STOP:{RECEIVER}")
        fill_memory(one)
        one.scene.signal(DESTINATION, "CONT", RECEIVER)
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "no-memory", Guest("hungry", 7, memory_mib=64), act)


def test_a_name_that_is_taken_there_leaves_the_guest_where_it_was(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming", f"STOP:{RECEIVER}")
        take_its_name(one)
        one.scene.signal(DESTINATION, "CONT", RECEIVER)
        one.outcome("stayed")
        beat = one.where()
        assert one.before is not None
        assert beat[SOURCE].boot_id == one.before.boot_id
        assert beat[DESTINATION].boot_id != one.before.boot_id
        one.note("both guests of that name run, each where it was")

    play(stage, ended, "name-clash", Guest("clash", 9), act)


def test_a_killed_agent_and_worker_do_not_stop_a_move(stage: Stage, ended: list[Play]) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming")
        one.scene.source.check(f"kill -KILL $(pgrep -f '{AGENT}')")
        one.note("agent and workers of the source are killed, all at once")
        one.outcome("moved")
        one.halt()
        one.alive_on(DESTINATION)

    play(stage, ended, "agent-killed", Guest("agentless", 10), act)


def test_an_xl_killed_after_the_rename_leaves_a_rest_that_is_cleaned_up(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(SOURCE, "renamed", f"KILL:{SENDER}")
        one.outcome("moved")
        one.halt()
        assert "--migratedaway" not in one.scene.source.check("xl list")
        one.note("its --migratedaway, a suspended rest, was destroyed by a mend")
        one.alive_on(DESTINATION)

    play(stage, ended, "xl-killed-when-renamed", Guest("renamed", 11), act)


def test_a_guest_stranded_by_a_killed_xl_is_reported_and_waits_for_a_person(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(SOURCE, "suspended", f"KILL:{SENDER}")
        assert "suspended" in one.stopped()
        wake(one, one.guest.name)
        one.stage.obey("rollout", "resume", "--reason", "woken by hand")
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "stranded", Guest("stranded", 12), act)


def test_a_destination_that_dies_in_precopy_ends_the_move_by_itself(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming")
        one.scene.lab.switch_off(DESTINATION)
        one.note(f"xl ended {until_xl_has_ended(one):.0f} s after the death of {DESTINATION}")
        one.scene.lab.switch_on(DESTINATION)
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "destination-dies", Guest("bereft", 13), act)


def test_a_destination_that_dies_after_the_transfer_is_set_aside_and_doubt_stops_when_it_is_back(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        slow_handshake(one)
        one.scene.lab.switch_off(DESTINATION)
        one.scene.lab.delay(DESTINATION, 0)
        one.heard("aside")
        one.scene.look(f"{DESTINATION} was set aside", [SOURCE])
        one.scene.lab.switch_on(DESTINATION)
        assert "suspended" in one.stopped()
        wake(one, f"{one.guest.name}--migratedaway")
        one.stage.obey("rollout", "resume", "--reason", "woken by hand")
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "destination-dies-after-transfer", Guest("late", 14), act)


def test_a_cut_wire_ends_the_move_and_is_settled_when_it_is_healed(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        one.scene.disturb(DESTINATION, "incoming")
        one.scene.lab.cut(DESTINATION)
        until_xl_has_ended(one)
        one.note("xl ended, the wire is still cut")
        one.alive_on(SOURCE)
        one.scene.lab.heal(DESTINATION)
        one.outcome("stayed")
        one.alive_on(SOURCE)

    play(stage, ended, "wire-cut", Guest("cutoff", 15), act)


def test_a_wire_cut_right_after_the_permission_is_settled_as_moved(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        slow_handshake(one)
        time.sleep(SLOW_MS * 1.5 / 1000)
        one.scene.lab.cut(DESTINATION)
        one.scene.lab.delay(DESTINATION, 0)
        until_xl_has_ended(one)
        one.scene.look("xl ended, the wire is still cut")
        one.scene.lab.heal(DESTINATION)
        one.outcome("moved")
        one.halt()
        one.alive_on(DESTINATION)

    play(stage, ended, "wire-cut-after-permission", Guest("permitted", 16), act)


def test_a_guest_that_crashes_when_it_has_moved_is_reported_as_crashed(
    stage: Stage, ended: list[Play]
) -> None:
    def act(one: Play) -> None:
        crash_on_arrival(one)
        one.outcome("crashed")
        one.halt()
        assert one.where() == {}

    play(stage, ended, "crash-after-move", Guest("fragile", 17), act)


def test_a_guest_that_lost_its_monitor_after_it_arrived_is_told_of_and_runs_on(
    stage: Stage, ended: list[Play]
) -> None:
    play(stage, ended, "monitor-killed", Guest("alone", 20), lose_its_monitor)


def test_a_pv_guest_is_refused_beforehand_where_the_hypervisor_cannot_track_its_memory(
    stage: Stage, ended: list[Play]
) -> None:
    one = Play(stage, Play.scene_of(stage, "pv-guest", Guest("para", 18, kind="pv", memory_mib=48)))
    one.set_up()
    ended.append(one)
    code, text = stage.xenroll("rollout", "start", ADVISORY)
    one.note(f"xenroll rollout start ended with {code}: {text}")
    assert code == 3, text
    assert "shadow paging" in text and "nothing was started" in text
    assert "--accept-blocked" in text
    one.alive_on(SOURCE)


def test_a_host_that_does_not_come_back_from_its_reboot_stops_the_rollout(
    stage: Stage, ended: list[Play]
) -> None:
    one = Play(stage, Play.scene_of(stage, "host-stays-away", Guest("bystander", 19)))
    one.set_up()
    one.scene.source.check(f"xl destroy {one.guest.name}")
    stage.wait_for_agents(HOSTS, now())
    stage.lab.install_xen(SOURCE, stage.lab.layout.run / "xen-fixed")
    one.start()
    ended.append(one)
    assert f"{SOURCE} has not come back" in one.stopped()
    stage.lab.switch_on(SOURCE)
    stage.wait_for_agents(HOSTS, now())
    stage.obey("rollout", "resume", "--reason", "it is back")
    book = stage.follow(one.rollout_id, lambda b: b.rollout.state is RolloutState.DONE, 900)
    assert book.hosts[SOURCE].state is HostState.FIXED
    one.note("it came back later, on the fixed build: done")
    say("all cases are over")
