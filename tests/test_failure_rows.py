"""Each way in which `xl migrate` can fail, and which tests show what is made of it.

A row for each of Xen's own ways (numbered as in `scheduler/standin/fault_table.py`) and for each
process that can be killed at each point. `settled`: sentences of `test_agents_settle_move`;
`whole`: real agents against the stand-in, by the fault, or by what is killed where. What no test
shows end to end says why. Whole rollouts name the rows that they play (`tests/stories`), and
`test_stories` sees to it that none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.failure_tables import ROWS
from tests.test_agents_settle_move import ROWS as SETTLED
from tests.test_agents_standin import ENDS, KILLED, PARTS
from tests.test_standin_faults import CASES


@dataclass(frozen=True)
class Shown:
    """Where a row is shown."""

    row: str
    settled: tuple[str, ...]
    whole: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()  # of `tests.failure_tables`, if not those of 1.4 with its number
    not_whole: str = ""  # why there is no test with real agents


GATE = "the agent's own gate refuses it before xl is started"

FAILURES = [
    Shown("1", ("the domain was gone when xl began",), whole=("invalid-domain",)),
    Shown("2", ("its configuration could not be read",), whole=("config-unreadable",)),
    Shown("3", ("xl said nothing at all",), not_whole="xenroll never uses -C"),
    Shown("4", ("no configuration is stored",), whole=("no-config",)),
    Shown(
        "5",
        ("the name of T is unknown", "T refuses the connection", "T cannot be reached"),
        whole=("ssh-refused", "ssh-unreachable", "ssh-auth", "ssh-hostkey", "remote-xl-missing"),
    ),
    Shown("6", ("T's shell chatters",), whole=("chatter",)),
    Shown("7", ("the network broke in pre-copy",), whole=("header-break",)),
    Shown(
        "8",
        (
            "T has an old incoming copy",
            "T lacks the CPU pool",
            "T cannot free memory early",
            "T lacks a disk",
            "T cannot place its CPUs",
            "T cannot make a domain",
            "T is an older xl",
        ),
        whole=("refuse", "needs-newer-xl", "stale-incoming"),
    ),
    Shown("9", ("it has virtual NUMA",), not_whole=GATE),
    Shown(
        "10",
        (
            "a PV guest without shadow paging",
            "log-dirty lacks memory at S",
            "log-dirty is refused for a device",
        ),
        whole=("logdirty-nomem",),
    ),
    Shown("11", ("QEMU's log-dirty hangs",), whole=("qemu-logdirty",)),
    Shown("12", ("its p2m changed", "its page tables cannot move"), whole=("p2m-changed",)),
    Shown(
        "13",
        (
            "the network broke in pre-copy",
            "T died in pre-copy",
            "T was cut off and keeps a copy that never ran",
            "T holds a dying copy",
            "T's receiver still lives beside its copy",
        ),
        whole=("stream-write-fails",),
    ),
    Shown(
        "14",
        ("it does not answer the suspend", "it is still paused at S"),
        whole=("ignores-suspend",),
    ),
    Shown(
        "15",
        ("it took the request and may suspend late", "it took the request and did not suspend"),
        not_whole="it is watched for two minutes of real time",
    ),
    Shown(
        "16",
        (
            "it restarted at S meanwhile",
            "its owner shut it down",
            "it crashed at S meanwhile",
            "it is nowhere",
        ),
        whole=("crashes-in-migration", "reboots-in-migration", "shuts-down-in-migration"),
    ),
    Shown("17", ("QEMU would not save",), whole=("qemu-save-fails",)),
    Shown(
        "18",
        ("xl died while it was suspended, Xen 4.17",),
        whole=("break-after-suspend", "stranded-suspend"),
    ),
    Shown(
        "19",
        (
            "T has too little memory",
            "T's CPU is poorer",
            "T's CPUID policy differs",
            "T cannot add its disks",
            "T cannot add its NICs",
            "T's QEMU does not start",
        ),
        whole=("restore-nomem", "restore-hvm", "restore-cpuid", "restore-disk", "restore-nic"),
    ),
    Shown("20", ("T's log folder is full",), whole=("monitor-fails",)),
    Shown("21", ("T was cut off and keeps a copy that never ran",), whole=("ready-unwritable",)),
    Shown("22", ("S has an old copy",), not_whole=GATE),
    Shown(
        "23",
        (
            "cut before the go: nothing at T",
            "cut: T runs it",
            "cut: it crashed at T",
            "cut after the go: nothing at T, yet it may have run",
            "cut: T has just unpaused it",
            "cut: T has a copy that never ran, Xen 4.20",
            "S lost its power after the go",
            "cut: T has a copy that never ran, Xen 4.17",
            "S lost its power before the go",
            "cut: T has a copy that never ran, and a receiver",
            "cut: T renamed it but did not unpause it",
            "cut: it ran at T and somebody paused it",
        ),
        whole=("cut-before-go", "cut-after-go"),
    ),
    Shown(
        "24",
        ("its name is taken at T", "T could not start it", "another guest of its name is at T"),
        whole=("name-clash", "unpause-fails"),
    ),
    Shown(
        "25",
        ("cut before the go: nothing at T", "cut: T has a copy that never ran, Xen 4.17"),
        whole=("destroy-fails-dest",),
    ),
    Shown(
        "26",
        ("success, S could not destroy its copy", "success, S keeps a zombie"),
        whole=("zombie-source",),
    ),
]

KILLS = [
    Shown(
        "xl in pre-copy",
        ("xl was killed in pre-copy", "its exit code was lost"),
        whole=("xl-precopy",),
        rows=("1.5/sender, pre-copy",),
    ),
    Shown(
        "xl while suspended",
        (
            "xl died while it was suspended, Xen 4.17",
            "the resume at S did not work",
            "xl died while it was suspended, Xen 4.20",
            "a receiver may still run it",
        ),
        whole=("xl-suspended", "xl-renamed"),
        rows=("1.5/sender, suspended",),
    ),
    Shown(
        "xl after the go",
        ("cut: T runs it",),
        whole=("xl-go-sent",),
        rows=("1.5/sender, after go",),
    ),
    Shown(
        "xl after the report",
        ("success, S could not destroy its copy",),
        whole=("xl-reported",),
        rows=("1.5/sender, after report",),
    ),
    Shown(
        "save helper, SIGTERM",
        ("the network broke in pre-copy",),
        whole=("helper-TERM-precopy",),
        rows=("1.5/helper ended, pre-copy", "1.5/helper ended, suspended"),
    ),
    Shown(
        "save helper, SIGKILL",
        ("the network broke in pre-copy",),
        whole=("helper-KILL-precopy", "helper-KILL-suspended"),
        rows=("1.5/helper killed, pre-copy", "1.5/helper killed, suspended"),
    ),
    Shown(
        "ssh",
        ("the network broke in pre-copy", "cut before the go: nothing at T"),
        whole=("ssh-KILL-precopy", "ssh-KILL-suspended", "ssh-KILL-renamed", "ssh-KILL-got-go"),
        rows=(
            "1.5/connection, pre-copy",
            "1.5/connection, suspended",
            "1.5/connection, after go",
            "1.5/connection, after report",
        ),
    ),
    Shown(
        "receiver",
        (
            "T was cut off and keeps a copy that never ran",
            "cut: T renamed it but did not unpause it",
        ),
        whole=(
            "receiver-KILL-precopy",
            "receiver-KILL-restored",
            "receiver-KILL-got-go",
            "receiver-KILL-named",
            "receiver-KILL-unpaused",
        ),
        rows=(
            "1.5/receiver, pre-copy",
            "1.5/receiver, suspended",
            "1.5/receiver, after go",
            "1.5/receiver, after report",
        ),
    ),
    Shown(
        "the network, silently",
        ("T died in pre-copy",),
        rows=("1.5/silent, pre-copy", "1.5/silent, suspended", "1.5/silent, after go"),
        not_whole="stand-in: test_a_cut_link_stops_the_copy_and_loses_nothing_when_it_heals",
    ),
    Shown(
        "the monitor",
        ("success",),
        whole=("monitor-killed",),
        rows=("1.5/monitor, after go",),
    ),
    Shown(
        "a suspend that nobody resumes",
        ("the resume at S did not work",),
        whole=("stranded-suspend",),
        rows=("1.3/T1",),
    ),
]

EVERY = [*FAILURES, *KILLS]


def shown_whole() -> set[str]:
    """What real agents have been through, against the stand-in."""
    killed = {f"xl-{point}" for point, _ in KILLED}
    parts = {"-".join(row[:3]) for row in PARTS}
    return {row[0] for row in ENDS} | killed | parts | {"monitor-killed"}


@pytest.mark.parametrize("shown", EVERY, ids=[one.row for one in EVERY])
def test_what_is_made_of_each_failure_is_shown_by_tests_that_there_are(shown: Shown) -> None:
    assert set(shown.settled) <= {row.sentence for row in SETTLED} and shown.settled
    assert set(shown.whole) <= shown_whole()
    assert bool(shown.whole) != bool(shown.not_whole)


def test_no_row_is_left_out() -> None:
    assert [one.row for one in FAILURES] == [str(number) for number in range(1, 27)]
    numbered = {row for row in ROWS if row.startswith("1.4/")}
    assert {row.rstrip("abcdef") for row in numbered} == {f"1.4/{one.row}" for one in FAILURES}
    killed = [row for one in KILLS for row in one.rows]
    outcomes = {row for row in ROWS if row.startswith("1.6/")}  # what copies show, however it came
    assert sorted(killed) == sorted(set(ROWS) - numbered - outcomes)
    named = {fault for one in FAILURES for fault in one.whole}
    cases = {case.fault for case in CASES} | {case.also for case in CASES if case.also}
    assert named <= cases | {"header-break"}, "each is also tried against xl alone"
