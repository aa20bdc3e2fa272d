"""Each way in which `xl migrate` can fail, and which tests show what is made of it.

A row for each of Xen's own ways (numbered as in `scheduler/standin/fault_table.py`) and for each
process that can be killed at each point. `settled`: sentences of `test_agents_settle_move`;
`stories`: whole rollouts; `whole`: real agents against the stand-in, by the fault, or by what is
killed where. What no test shows end to end says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_agents_settle_move import ROWS as SETTLED
from tests.test_agents_standin import ENDS, KILLED, PARTS
from tests.test_standin_faults import CASES

STORIES = Path(__file__).parent / "stories"


@dataclass(frozen=True)
class Shown:
    """Where a row is shown."""

    row: str
    settled: tuple[str, ...]
    stories: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    not_whole: str = ""  # why there is no test with real agents


GATE = "the agent's own gate refuses it before xl is started"

FAILURES = [
    Shown("1", ("the domain was gone when xl began",), ("domain-unknown",), ("invalid-domain",)),
    Shown(
        "2",
        ("its configuration could not be read",),
        ("configuration-unreadable",),
        ("config-unreadable",),
    ),
    Shown("3", ("xl said nothing at all",), not_whole="xenroll never uses -C"),
    Shown("4", ("no configuration is stored",), ("no-configuration",), ("no-config",)),
    Shown(
        "5",
        ("the name of T is unknown", "T refuses the connection", "T cannot be reached"),
        ("connection-refused",),
        ("ssh-refused", "ssh-unreachable", "ssh-auth", "ssh-hostkey", "remote-xl-missing"),
    ),
    Shown("6", ("T's shell chatters",), ("shell-greeting",), ("chatter",)),
    Shown("7", ("the network broke in pre-copy",), (), ("header-break",)),
    Shown(
        "8",
        (
            *("T has an old incoming copy", "T lacks the CPU pool", "T cannot free memory early"),
            *("T lacks a disk", "T cannot place its CPUs", "T cannot make a domain"),
            "T is an older xl",
        ),
        ("no-room-there", "disk-missing-there", "pool-unknown-there", "two-destinations-refuse"),
        ("refuse", "needs-newer-xl", "stale-incoming"),
    ),
    Shown("9", ("it has virtual NUMA",), ("virtual-numa",), not_whole=GATE),
    Shown(
        "10",
        (
            *("a PV guest without shadow paging", "log-dirty lacks memory at S"),
            "log-dirty is refused for a device",
        ),
        ("writes-cannot-be-tracked", "no-memory-to-track"),
        ("logdirty-nomem",),
    ),
    Shown("11", ("QEMU's log-dirty hangs",), ("device-model-no-dirty-log",), ("qemu-logdirty",)),
    Shown(
        "12",
        ("its p2m changed", "its page tables cannot move"),
        ("memory-size-changes", "superpage"),
        ("p2m-changed",),
    ),
    Shown(
        "13",
        (
            *("the network broke in pre-copy", "T died in pre-copy"),
            *("T was cut off and keeps a copy that never ran", "T holds a dying copy"),
            "T's receiver still lives beside its copy",
        ),
        ("breaks-in-precopy", "half-a-copy-stays", "silent-during-its-move"),
        ("stream-write-fails",),
    ),
    Shown(
        "14",
        ("it does not answer the suspend", "it is still paused at S"),
        ("ignores-suspend", "agreed-restart-after-a-refusal"),
        ("ignores-suspend",),
    ),
    Shown(
        "15",
        ("it took the request and may suspend late", "it took the request and did not suspend"),
        ("suspends-late",),
        not_whole="it is watched for two minutes of real time",
    ),
    Shown(
        "16",
        (
            *("it restarted at S meanwhile", "its owner shut it down"),
            *("it crashed at S meanwhile", "it is nowhere"),
        ),
        ("restarted-meanwhile", "shut-down-meanwhile"),
        ("crashes-in-migration", "reboots-in-migration", "shuts-down-in-migration"),
    ),
    Shown("17", ("QEMU would not save",), ("device-model-not-saved",), ("qemu-save-fails",)),
    Shown(
        "18",
        ("xl died while it was suspended, Xen 4.17",),
        ("breaks-after-suspend",),
        ("break-after-suspend", "stranded-suspend"),
    ),
    Shown(
        "19",
        (
            *("T has too little memory", "T's CPU is poorer", "T's CPUID policy differs"),
            *("T cannot add its disks", "T cannot add its NICs", "T's QEMU does not start"),
        ),
        ("does-not-fit-there", "poorer-processor", "bridge-script-fails"),
        ("restore-nomem", "restore-hvm", "restore-cpuid", "restore-disk", "restore-nic"),
    ),
    Shown("20", ("T's log folder is full",), ("monitor-cannot-start",), ("monitor-fails",)),
    Shown(
        "21",
        ("T was cut off and keeps a copy that never ran",),
        ("ready-never-heard",),
        ("ready-unwritable",),
    ),
    Shown("22", ("S has an old copy",), ("old-copy-in-the-way",), not_whole=GATE),
    Shown(
        "23",
        (
            *("cut before the go: nothing at T", "cut: T runs it", "cut: it crashed at T"),
            *("cut after the go: nothing at T, yet it may have run", "cut: T has just unpaused it"),
            *("cut: T has a copy that never ran, Xen 4.20", "S lost its power after the go"),
            *("cut: T has a copy that never ran, Xen 4.17", "S lost its power before the go"),
            "cut: T has a copy that never ran, and a receiver",
            "cut: T renamed it but did not unpause it",
            "cut: it ran at T and somebody paused it",
        ),
        (
            *("cut-after-go-it-runs", "cut-after-go-paused", "cut-after-go-half-a-copy"),
            *("cut-after-go-nothing-there", "silent-too-long-after-a-move"),
            "half-a-copy-and-suspended-newer-xen",
        ),
        ("cut-before-go", "cut-after-go"),
    ),
    Shown(
        "24",
        ("its name is taken at T", "T could not start it", "another guest of its name is at T"),
        ("name-taken-there",),
        ("name-clash", "unpause-fails"),
    ),
    Shown(
        "25",
        ("cut before the go: nothing at T", "cut: T has a copy that never ran, Xen 4.17"),
        ("copy-cannot-be-destroyed",),
        ("destroy-fails-dest",),
    ),
    Shown(
        "26",
        ("success, S could not destroy its copy", "success, S keeps a zombie"),
        ("old-copy-stays",),
        ("zombie-source",),
    ),
]

KILLS = [
    Shown(
        "xl in pre-copy",
        ("xl was killed in pre-copy", "its exit code was lost"),
        ("xl-killed-in-precopy",),
        ("xl-precopy",),
    ),
    Shown(
        "xl while suspended",
        (
            *("xl died while it was suspended, Xen 4.17", "the resume at S did not work"),
            *("xl died while it was suspended, Xen 4.20", "a receiver may still run it"),
        ),
        ("xl-killed-while-suspended", "xl-killed-while-suspended-newer-xen"),
        ("xl-suspended", "xl-renamed"),
    ),
    Shown("xl after the go", ("cut: T runs it",), ("xl-killed-after-go",), ("xl-go-sent",)),
    Shown(
        "xl after the report",
        ("success, S could not destroy its copy",),
        ("old-copy-stays",),
        ("xl-reported",),
    ),
    Shown(
        "save helper, SIGTERM",
        ("the network broke in pre-copy",),
        ("helper-terminated",),
        ("helper-TERM-precopy",),
    ),
    Shown(
        "save helper, SIGKILL",
        ("the network broke in pre-copy",),
        (),
        ("helper-KILL-precopy", "helper-KILL-suspended"),
    ),
    Shown(
        "ssh",
        ("the network broke in pre-copy", "cut before the go: nothing at T"),
        ("breaks-in-precopy", "breaks-after-suspend"),
        ("ssh-KILL-precopy", "ssh-KILL-suspended", "ssh-KILL-renamed", "ssh-KILL-got-go"),
    ),
    Shown(
        "receiver",
        (
            "T was cut off and keeps a copy that never ran",
            "cut: T renamed it but did not unpause it",
        ),
        ("receiver-killed",),
        (
            *("receiver-KILL-precopy", "receiver-KILL-restored", "receiver-KILL-got-go"),
            *("receiver-KILL-named", "receiver-KILL-unpaused"),
        ),
    ),
    Shown(
        "the network, silently",
        ("T died in pre-copy",),
        ("silent-during-its-move",),
        not_whole="stand-in: test_a_cut_link_stops_the_copy_and_loses_nothing_when_it_heals",
    ),
]

EVERY = [*FAILURES, *KILLS]


def shown_whole() -> set[str]:
    """What real agents have been through, against the stand-in."""
    killed = {f"xl-{point}" for point, _ in KILLED}
    parts = {"-".join(row[:3]) for row in PARTS}
    return {row[0] for row in ENDS} | killed | parts


@pytest.mark.parametrize("shown", EVERY, ids=[one.row for one in EVERY])
def test_what_is_made_of_each_failure_is_shown_by_tests_that_there_are(shown: Shown) -> None:
    assert set(shown.settled) <= {row.sentence for row in SETTLED} and shown.settled
    assert [name for name in shown.stories if not (STORIES / f"{name}.yaml").exists()] == []
    assert set(shown.whole) <= shown_whole()
    assert bool(shown.whole) != bool(shown.not_whole)


def test_no_row_is_left_out() -> None:
    assert [one.row for one in FAILURES] == [str(number) for number in range(1, 27)]
    named = {fault for one in FAILURES for fault in one.whole}
    cases = {case.fault for case in CASES} | {case.also for case in CASES if case.also}
    assert named <= cases | {"header-break"}, "each is also tried against xl alone"
