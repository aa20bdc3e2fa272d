"""Every way in which `xl migrate` is known to fail: texts, exit code, and both ends after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.standin.fault_table import FAULTS
from scheduler.standin.world import GuestSpec
from tests.standin_lab import ALIVE, Lab, ended, two_hosts
from tests.waiting import until

RUNS, PAUSED, STOPPED, DYING = "------", "--p---", "---ss-", "---ssd"
HERE = {"h1": RUNS}
NOBODY: dict[str, str] = {}
A = "Migration failed, failed to suspend at sender."
B = "Migration failed, resuming at sender."
C = "** Migration failed during final handshake **\nDomain state is now undefined !"
NOISE = "not suspended: (shutdown 0, reason 255)"


@dataclass(frozen=True)
class Case:
    """A fault, and what follows from it."""

    fault: str
    says: tuple[str, ...]
    source: dict[str, str]
    destination: dict[str, str]
    text: str = ""
    code: int = 1
    transport: str = "ssh"
    also: str = ""


CASES = [
    Case("invalid-domain", ("h1 is an invalid domain identifier (rc=-6)",), HERE, NOBODY),
    Case("config-unreadable", ("unable to retrieve domain configuration",), HERE, NOBODY),
    Case("no-config", ("No config file stored for running domain",), HERE, NOBODY),
    Case("ssh-refused", ("port 22: Connection refused", "error status 255"), HERE, NOBODY),
    Case("ssh-unreachable", ("No route to host", "truncated reading banner"), HERE, NOBODY),
    Case("ssh-auth", ("Permission denied (publickey", "error status 255"), HERE, NOBODY),
    Case("ssh-hostkey", ("Host key verification failed.",), HERE, NOBODY),
    Case("remote-xl-missing", ("xl: command not found", "error status 127"), HERE, NOBODY),
    Case(
        "chatter",
        ("contained unexpected data instead of banner", "(command run was: exec ssh hostB"),
        HERE,
        NOBODY,
    ),
    Case("refuse", ("Domain creation failed (code -3).",), HERE, NOBODY),
    Case("refuse", ("domain id recently used",), HERE, NOBODY, text="domain id recently used"),
    Case("needs-newer-xl", ("not supported; need newer xl",), HERE, NOBODY),
    Case("storage-missing", ("Disk vdev=xvda failed to stat: /dev/san/h1",), HERE, NOBODY),
    Case("disk-missing", ("failed to stat: /dev/san/h1",), HERE, NOBODY, text="/dev/san/h1"),
    Case("vnuma", ("Cannot save a guest with vNUMA configured", B, NOISE), HERE, NOBODY),
    Case("logdirty-nomem", ("Failed to enable logdirty: 12,", "(rc=-8)", A), HERE, NOBODY),
    Case("qemu-logdirty", ("logdirty switch failed (rc=-3), abandoning", A), HERE, NOBODY),
    Case("p2m-changed", ("p2m generation count changed. Migration aborted.", A), HERE, NOBODY),
    Case(
        "stream-write-fails",
        ("Failed to write page data to stream", "did not respond to suspend request", A),
        HERE,
        NOBODY,
    ),
    Case("dest-dies-precopy", (B, NOISE), HERE, NOBODY, transport=ALIVE),
    Case(
        "ignores-suspend",
        ("guest didn't acknowledge suspend, cancelling", "Domain has not been suspended", A),
        HERE,
        NOBODY,
    ),
    Case("late-suspend", ("guest did not suspend, timed out", A), {"h1": STOPPED}, NOBODY),
    Case("crashes-in-migration", ("guest we were suspending has been destroyed", B), HERE, NOBODY),
    Case("reboots-in-migration", (B,), HERE, NOBODY),
    Case("shuts-down-in-migration", (B,), NOBODY, NOBODY),
    Case("qemu-save-fails", ("failed to suspend device model, rc=-3", B), HERE, NOBODY),
    Case("break-after-suspend", (B,), HERE, NOBODY),
    Case("stranded-suspend", ("did not respond to suspend", A), {"h1": STOPPED}, NOBODY),
    Case("restore-nomem", ("Failed to populate physmap", "(code -3)", B), HERE, NOBODY),
    Case("restore-hvm", ("Unable to restore HVM context", B), HERE, NOBODY),
    Case("restore-cpuid", ("Failed to set CPUID policy: leaf", B), HERE, NOBODY),
    Case("restore-disk", ("unable to add disk devices", B), HERE, NOBODY),
    Case("restore-nic", ("unable to add vif devices", B), HERE, NOBODY),
    Case("bridge-missing", ("Could not find bridge device xenbr0", B), HERE, NOBODY),
    Case("restore-qemu", ("device model did not start: -3", B), HERE, NOBODY),
    Case("monitor-fails", ("failed to open logfile", B), HERE, {"h1--incoming": PAUSED}),
    Case("ready-unwritable", ("truncated reading ready", B), HERE, {"h1--incoming": PAUSED}),
    Case(
        "stale-migratedaway",
        ('Domain with name "h1--migratedaway" already exists.', B, "destroying our copy"),
        {"h1": RUNS, "h1--migratedaway": PAUSED},
        NOBODY,
        # The receiver hears nothing after its "ready" but the end of the stream.
    ),
    Case(
        "stale-incoming",
        ('Domain with name "h1--incoming" already exists.', "cannot make domain"),
        HERE,
        {"h1--incoming": PAUSED},
        text="hostB",
    ),
    Case("cut-before-go", (C,), {"h1--migratedaway": STOPPED}, {"h1--incoming": PAUSED}),
    Case("cut-after-go", (C,), {"h1--migratedaway": STOPPED}, {"h1": RUNS}),
    Case("dest-dies-after-transfer", (C,), {"h1--migratedaway": STOPPED}, NOBODY, transport=ALIVE),
    Case(
        "name-clash",
        ("startup failure (status code 6)", "Resumed OK."),
        HERE,
        {"h1": PAUSED},
        text="hostB",
    ),
    Case("unpause-fails", ("startup failure (status code 3)", "Resumed OK."), HERE, NOBODY),
    Case(
        "destroy-fails-dest",
        ("Failed to destroy our copy (code -3).", C),
        {"h1--migratedaway": STOPPED},
        {"h1": "--p--d"},
        also="unpause-fails",
    ),
    Case(
        "zombie-source",
        ("Migration successful.",),
        {"h1--migratedaway": DYING},
        {"h1": RUNS},
        code=0,
    ),
]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return two_hosts(tmp_path, GuestSpec("h1", "hostA", 96, disks=("/dev/san/h1",)))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{FAULTS[c.fault][1]}-{c.fault}")
def test_a_fault_of_the_table_ends_as_the_table_says(lab: Lab, case: Case) -> None:
    for fault in filter(None, (case.fault, case.also)):
        target = "h1" if FAULTS[fault][0] == "guest" else "hostB"
        lab.inject(target, fault, text=case.text)
    done = lab.run("hostA", "xl", "migrate", "-s", case.transport, "h1", "hostB")
    assert done.code == case.code
    assert [text for text in case.says if text not in done.err] == []
    assert lab.settled("hostA", case.source) == case.source
    assert lab.settled("hostB", case.destination) == case.destination
    assert [line for line in lab.audit() if "twice" in line] == []


def test_every_row_of_the_table_can_be_had() -> None:
    by_injection = {row for _, row, _ in FAULTS.values()} - {"-"}
    of_itself = {"3"}  # a file for -C that cannot be read
    assert by_injection | of_itself == {str(row) for row in range(1, 27)}
    tried = {case.fault for case in CASES} | {case.also for case in CASES}
    untried = {name for name, (_, row, _) in FAULTS.items() if row != "-"} - tried
    assert untried == {"header-break", "net-cut"}  # below


def test_a_config_file_that_cannot_be_read_stops_the_migration(lab: Lab) -> None:
    done = lab.run("hostA", "xl", "migrate", "-C", "/no/such.cfg", "h1", "hostB")
    assert (done.code, done.err) == (1, "unable to read overridden config file\n")


def test_a_receiver_that_hangs_up_at_once_is_a_fatal_error_or_a_broken_copy(lab: Lab) -> None:
    lab.inject("hostB", "header-break")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 1
    assert "xl: fatal error: xl_saverestore.c" in done.err or B in done.err
    assert lab.domains("hostA") == HERE
    assert lab.domains("hostB") == NOBODY


def test_a_cut_link_stops_the_copy_and_loses_nothing_when_it_heals(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", "precopy")
    lab.inject("hostB", "net-cut")
    lab.clear("h1")
    after = lab.world.now() + 100
    until(lambda: lab.world.now() > after, "100 seconds of silence")
    assert process.poll() is None
    assert lab.domains("hostA") == HERE
    lab.clear("hostB")
    assert ended(process).code == 0
    assert lab.domains("hostB") == HERE


def test_a_cut_link_leaves_a_stale_incoming_for_as_long_as_it_lasts(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "-s", ALIVE, "h1", "hostB")
    lab.pid_held("h1", "precopy")
    lab.inject("hostB", "net-cut")
    lab.clear("h1")
    done = ended(process)
    assert done.code == 1
    assert lab.domains("hostA") == HERE
    assert lab.domains("hostB") == {"h1--incoming": PAUSED}
    again = lab.run("hostA", "xl", "migrate", "-s", "ssh -o ConnectTimeout=10", "h1", "hostB")
    assert "Connection timed out" in again.err
    lab.clear("hostB")
    assert lab.settled("hostB", NOBODY) == NOBODY
