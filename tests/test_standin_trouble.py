"""Trouble beside failing migrations: late suspends, crashes, an xl that hangs, odd faults."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from scheduler.standin import lifecycle
from scheduler.standin.store import Change, look
from scheduler.standin.world import GuestSpec, HostSpec, create_world, xen_build
from scheduler.standin.xl_list import letters
from tests.standin_lab import Lab, ended, two_hosts, words_of
from tests.waiting import children, until

HERE = {"h1": "------"}
STOPPED = "---ss-"
NOBODY: dict[str, str] = {}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return two_hosts(tmp_path)


def test_a_late_suspend_shows_up_after_xl_has_given_up(lab: Lab) -> None:
    lab.inject("h1", "late-suspend")
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert lab.settled("hostA", {"h1": STOPPED}) == {"h1": STOPPED}
    unpaused = lab.run("hostA", "xl", "unpause", "h1")
    assert unpaused.code == 0
    assert lab.domains("hostA") == {"h1": STOPPED}


def test_a_suspended_guest_can_be_resumed_from_xen_4_20_on(tmp_path: Path) -> None:
    hosts = [HostSpec(name, 4096, xen=xen_build("4.20")) for name in ("hostA", "hostB")]
    lab = Lab(create_world(str(tmp_path / "w"), hosts, [GuestSpec("h1", "hostA", 96)], speed=100.0))
    lab.inject("h1", "stranded-suspend")
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert lab.domains("hostA") == {"h1": STOPPED}
    assert lab.run("hostA", "xl", "resume", "h1").code == 0
    assert lab.domains("hostA") == HERE
    twice = lab.run("hostA", "xl", "resume", "h1")
    assert (twice.code, "not suspended: (shutdown 0, reason 255)" in twice.err) == (1, True)


def on_crash(path: Path, action: str, speed: float = 100.0) -> Lab:
    return two_hosts(path, GuestSpec("h1", "hostA", 96, on_crash=action), speed=speed)


@pytest.mark.parametrize(
    ("action", "after"), [("preserve", {"h1": "---sc-"}), ("destroy", {}), ("restart", HERE)]
)
def test_a_guest_that_dies_on_resume_does_as_its_on_crash_says(
    tmp_path: Path, action: str, after: dict[str, str]
) -> None:
    lab = on_crash(tmp_path, action)
    lab.inject("h1", "crashes-on-resume")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 0
    until(lambda: not look(lab.world, "hostB")["events"], "all that follows")
    later = lab.world.now() + 5
    until(lambda: lab.world.now() > later, "five seconds")
    assert lab.domains("hostB") == after
    domids = [d["domid"] for d in look(lab.world, "hostB")["domains"][1:]]
    assert domids == {"preserve": [1], "destroy": [], "restart": [2]}[action]
    assert lab.audit() == []


def test_a_crash_shows_the_recorded_states_on_its_way(tmp_path: Path) -> None:
    lab = on_crash(tmp_path, "restart", speed=0.01)
    seen: list[str] = []
    lab.inject("h1", "crash")
    crashed_at = look(lab.world, "hostA")["events"][0]["at"] - 0.2
    with Change(lab.world, "hostA") as change:
        for seconds in (0.1, 0.5, 1.2, 1.8, 3.2):
            lifecycle.settle(change.state, crashed_at + seconds, change.note)
            seen += [letters(d, 0.0) for d in change.state["domains"][1:]] or ["gone"]
    assert seen[:4] == ["---sc-", "--psc-", "gone", "--p---"]
    assert seen[4][2:] == "----"


def test_an_xl_that_hangs_goes_on_when_the_fault_is_cleared(lab: Lab) -> None:
    lab.inject("hostA", "xl-hang", text="list")
    process = lab.start("hostA", "xl", "list")
    assert lab.run("hostA", "xl", "info", "host").out == "hostA\n"
    assert process.poll() is None
    until(lambda: bool(os.listdir(f"{lab.world.path}/faults/host/hostA")), "the mark")
    until(
        lambda: any("hanging" in f for f in os.listdir(f"{lab.world.path}/faults/host/hostA")),
        "the hanging process",
    )
    lab.clear("hostA", "xl-hang")
    assert ended(process).code == 1


def test_an_xl_may_print_garbage_fail_or_be_missing(lab: Lab) -> None:
    lab.inject("hostA", "xl-garbage")
    garbage = lab.run("hostA", "xl", "list")
    assert garbage.code == 0
    assert not garbage.out.startswith("Name  ")
    lab.inject("hostA", "xl-fails")
    fails = lab.run("hostA", "xl", "list")
    assert (fails.code, "cannot init xl context" in fails.err) == (1, True)
    lab.inject("hostA", "xl-missing")
    with pytest.raises(FileNotFoundError):
        lab.run("hostA", "xl", "list")
    lab.clear("hostA")
    assert lab.run("hostA", "xl", "list").code == 0


def test_a_guest_that_ignores_shutdown_keeps_running(lab: Lab) -> None:
    lab.inject("h1", "ignores-shutdown")
    assert lab.run("hostA", "xl", "shutdown", "h1").err == "Shutting down domain 1\n"
    done = lab.run("hostA", "xl", "shutdown", "-w", "h1")
    assert done.code == 0
    assert "Domain 1 has been shut down, reason code 0" in done.err


@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("h1", "no-such-fault", "unknown fault 'no-such-fault'"),
        ("h9", "ignores-suspend", "there is no guest 'h9'"),
        ("h1", "net-cut", "there is no host 'h1'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(lab: Lab, name: str, fault: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lab.inject(name, fault)


def test_a_fault_strikes_as_often_as_it_was_armed(lab: Lab) -> None:
    lab.inject("h1", "config-unreadable", count=2)
    codes = [lab.run("hostA", "xl", "migrate", "h1", "hostB").code for _ in range(3)]
    assert codes == [1, 1, 0]


def test_the_save_helper_ended_by_sigterm_is_the_cleanest_abort(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    helper = lab.pid_held("h1", "precopy")
    assert any("libxl-save-helper" in word for word in words_of(helper))
    assert helper in children(process.pid)
    os.kill(helper, signal.SIGTERM)
    lab.clear("h1")
    done = ended(process)
    assert done.code == 1
    assert "Failed to write page data to stream (9 = Bad file descriptor)" in done.err
    assert "Migration failed, failed to suspend at sender." in done.err
    assert lab.domains("hostA") == HERE
    assert lab.settled("hostB", NOBODY) == NOBODY
