"""How a migration ended: each way that `xl migrate` can fail or be killed, and what is left then.

S is the source, T the destination. The cases follow the order of the protocol of `xl_migrate.c`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.settle import Outcome, Retry, settle_move
from agents.wire import AttemptState, Domain, MendAction, RefusalCode
from tests.agents_kit import (
    BLOCKED,
    CRASHED,
    DYING,
    NOON,
    OTHER_UUID,
    PAUSED,
    RUNS,
    SHUT_DOWN,
    SUSPENDED,
    attempt,
    domain,
    order,
    recorded,
    report,
)

GUEST, AWAY, INCOMING = "db-3", "db-3--migratedaway", "db-3--incoming"
GO = "migration sender: Giving target permission to start.\n"
EXIT_A = "Migration failed, failed to suspend at sender.\n"
EXIT_B = "Migration failed, resuming at sender.\n"
EXIT_C = "** Migration failed during final handshake **\nDomain state is now undefined !\n"

AT_S = domain(GUEST, BLOCKED, 60.0, 5)
SUSPENDED_AT_S = domain(GUEST, SUSPENDED, 60.0, 5)
AWAY_AT_S = domain(AWAY, SUSPENDED, 60.0, 5)
AT_T = domain(GUEST, RUNS, 2.0, 9)
FRESH_AT_T = domain(GUEST, RUNS, 0.0, 9)
PAUSED_AT_T = domain(GUEST, PAUSED, 0.0, 9)
INCOMING_AT_T = domain(INCOMING, PAUSED, 0.0, 9)
STRANGER_AT_T = domain(GUEST, PAUSED, 0.0, 7, uuid=OTHER_UUID)


@dataclass(frozen=True)
class Row:
    """One case; `mends` are (action, domid)."""

    sentence: str
    outcome: Outcome
    retry: Retry
    here: tuple[Domain, ...] = ()
    there: tuple[Domain, ...] = ()
    said: str = ""
    code: int | None = 1
    mends: tuple[tuple[MendAction, int], ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    destination: dict[str, Any] = field(default_factory=dict)


STAYED, MOVED, UNKNOWN = Outcome.STAYED, Outcome.MOVED, Outcome.UNKNOWN
CRASH, BOTH = Outcome.CRASHED, Outcome.BOTH
SAME, OTHER, LATER = Retry.SAME, Retry.OTHER_DESTINATION, Retry.LATER
NEVER, PERSON, NONE = Retry.NEVER, Retry.PERSON, Retry.NONE
DESTROY_SOURCE = ((MendAction.DESTROY_SOURCE, 5),)
DESTROY_INCOMING = ((MendAction.DESTROY_INCOMING, 9),)
RESUME = ((MendAction.RESUME_SOURCE, 5),)
UNPAUSE = ((MendAction.UNPAUSE, 9),)
XEN_4_20 = {"xen_version": "4.20.1"}
RECEIVES = {"receiving": 1}


def stays(sentence: str, retry: Retry, said: str, **more: Any) -> Row:
    """The guest goes on at S and T has nothing: only the words tell what to try next."""
    return Row(sentence, STAYED, retry, here=(AT_S,), said=said, **more)


WORDS = [
    stays("the domain was gone when xl began", LATER, "5 is an invalid domain identifier (rc=-6)"),
    stays("its configuration could not be read", SAME, "unable to retrieve domain configuration"),
    stays(
        "no configuration is stored", PERSON, "No config file stored for running domain and none"
    ),
    stays("the name of T is unknown", SAME, recorded("migrate-fail-unresolvable.err")),
    stays("T refuses the connection", SAME, recorded("migrate-fail-ssh-refused.err")),
    stays("T cannot be reached", SAME, recorded("migrate-fail-unreachable.err")),
    stays(
        "T's shell chatters",
        PERSON,
        "migration receiver stream contained unexpected data instead of banner",
    ),
    stays("T has an old incoming copy", OTHER, 'Domain with name "db-3--incoming" already exists.'),
    stays("T lacks the CPU pool", OTHER, "Illegal pool specified: fast"),
    stays("T cannot free memory early", OTHER, "failed to free memory for the domain"),
    stays("T lacks a disk", OTHER, "Disk vdev=xvda failed to stat: /dev/x: No such file"),
    stays(
        "T cannot place its CPUs", OTHER, "Hard affinity completely outside of domain's cpupool!"
    ),
    stays("T cannot make a domain", OTHER, "libxl__domain_make: cannot make domain: -3"),
    stays("T is an older xl", OTHER, "Savefile has mandatory flag(s) 0x2 which are not supported"),
    stays("it has virtual NUMA", NEVER, "Cannot save a guest with vNUMA configured\n" + EXIT_B),
    stays("a PV guest without shadow paging", NEVER, recorded("migrate-fail-pv-no-logdirty.err")),
    stays("log-dirty lacks memory at S", LATER, "Failed to enable logdirty: 12,0,0 (12 = "),
    stays("log-dirty is refused for a device", NEVER, "Failed to enable logdirty: 22,22,0 (22 ="),
    stays("QEMU's log-dirty hangs", SAME, "logdirty switch: wait for device model timed out"),
    stays("its p2m changed", LATER, "p2m generation count changed. Migration aborted."),
    stays("its page tables cannot move", NEVER, "Cannot migrate superpage (PTE 0x1"),
    stays("the network broke in pre-copy", SAME, recorded("migrate-fail-kill-ssh.err")),
    stays("T died in pre-copy", SAME, recorded("migrate-fail-dest-dies-serveralive.err")),
    stays("it does not answer the suspend", NEVER, recorded("migrate-fail-paused.err")),
    stays("QEMU would not save", SAME, "failed to suspend device model, rc=-3\n" + EXIT_B),
    stays("T has too little memory", OTHER, recorded("migrate-fail-nomem.err")),
    stays("T's CPU is poorer", OTHER, recorded("migrate-fail-cpu-policy-C-to-B.err")),
    stays("T's CPUID policy differs", OTHER, "Failed to set CPUID policy: leaf 00000007"),
    stays("T cannot add its disks", OTHER, "Domain 9:unable to add disk devices"),
    stays("T cannot add its NICs", OTHER, "Domain 9:unable to add nic devices"),
    stays("T's QEMU does not start", OTHER, "device model did not start: -3"),
    stays(
        "T's log folder is full", OTHER, "failed to open logfile /var/log/xen/xl-db.log: No space"
    ),
    stays("its name is taken at T", OTHER, recorded("migrate-fail-nameclash.err")),
    stays("S has an old copy", PERSON, 'Domain with name "db-3--migratedaway" already exists.'),
    stays("T could not start it", OTHER, "Target reports startup failure (status code 3)."),
    stays("xl was killed in pre-copy", LATER, recorded("migrate-fail-kill-xl.err")[:200], code=-9),
    stays("its exit code was lost", LATER, "Saving to migration stream", code=None),
    stays("xl said nothing at all", LATER, ""),
]

FAILED = [
    Row("it is still paused at S", STAYED, PERSON, (domain(GUEST, PAUSED, 60.0, 5),), (), EXIT_A),
    Row(
        "another guest of its name is at T",
        STAYED,
        OTHER,
        (AT_S,),
        (STRANGER_AT_T,),
        "Migration failed due to problems at target.",
    ),
    Row("it restarted at S meanwhile", STAYED, LATER, (domain(GUEST, RUNS, 1.0, 8),), (), EXIT_B),
    Row("its owner shut it down", STAYED, LATER, (domain(GUEST, SHUT_DOWN, 60.0, 5),), (), EXIT_B),
    Row("success was said, but it is only at S", STAYED, PERSON, (AT_S,), (), "", 0),
    Row(
        "T holds a dying copy",
        STAYED,
        SAME,
        (AT_S,),
        (domain("(null)", DYING, 0.0, 9),),
        EXIT_B + "Failed to write page data to stream",
    ),
    Row(
        "T was cut off and keeps a copy that never ran",
        STAYED,
        SAME,
        (AT_S,),
        (INCOMING_AT_T,),
        "Failed to write page data to stream\n" + EXIT_B,
        mends=DESTROY_INCOMING,
    ),
    Row(
        "T's receiver still lives beside its copy",
        UNKNOWN,
        LATER,
        (AT_S,),
        (INCOMING_AT_T,),
        EXIT_B,
        destination=RECEIVES,
    ),
    Row(
        "it took the request and may suspend late",
        UNKNOWN,
        LATER,
        (AT_S,),
        (),
        "guest did not suspend, timed out\n" + EXIT_A,
        source={"taken_at": NOON + timedelta(seconds=119)},
    ),
    Row(
        "it took the request and did not suspend",
        STAYED,
        NEVER,
        (AT_S,),
        (),
        "guest did not suspend, timed out\n" + EXIT_A,
        source={"taken_at": NOON + timedelta(seconds=120)},
    ),
]

SUSPENDED_ROWS = [
    Row(
        "xl died while it was suspended, Xen 4.17", UNKNOWN, PERSON, (SUSPENDED_AT_S,), (), code=-9
    ),
    Row(
        "xl died while it was suspended, Xen 4.20",
        UNKNOWN,
        LATER,
        (SUSPENDED_AT_S,),
        (),
        code=-9,
        mends=RESUME,
        source=XEN_4_20,
    ),
    Row(
        "the resume at S did not work",
        UNKNOWN,
        LATER,
        (SUSPENDED_AT_S,),
        (),
        EXIT_A,
        mends=RESUME,
        source=XEN_4_20,
    ),
    Row(
        "a receiver may still run it",
        UNKNOWN,
        LATER,
        (SUSPENDED_AT_S,),
        (),
        EXIT_A,
        source=XEN_4_20,
        destination=RECEIVES,
    ),
    Row(
        "cut before the go: nothing at T",
        UNKNOWN,
        LATER,
        (AWAY_AT_S,),
        (),
        EXIT_C,
        mends=RESUME,
        source=XEN_4_20,
    ),
    Row(
        "cut after the go: nothing at T, yet it may have run",
        UNKNOWN,
        PERSON,
        (AWAY_AT_S,),
        (),
        GO + EXIT_C,
        source=XEN_4_20,
    ),
    Row(
        "cut: T has a copy that never ran, Xen 4.20",
        UNKNOWN,
        LATER,
        (AWAY_AT_S,),
        (INCOMING_AT_T,),
        GO + EXIT_C,
        mends=DESTROY_INCOMING,
        source=XEN_4_20,
    ),
    Row(
        "cut: T has a copy that never ran, Xen 4.17",
        UNKNOWN,
        PERSON,
        (AWAY_AT_S,),
        (INCOMING_AT_T,),
        EXIT_C,
    ),
    Row(
        "cut: T has a copy that never ran, and a receiver",
        UNKNOWN,
        LATER,
        (AWAY_AT_S,),
        (INCOMING_AT_T,),
        EXIT_C,
        source=XEN_4_20,
        destination=RECEIVES,
    ),
    Row("cut: T runs it", MOVED, NONE, (AWAY_AT_S,), (AT_T,), GO + EXIT_C, mends=DESTROY_SOURCE),
    Row("cut: T has just unpaused it", UNKNOWN, LATER, (AWAY_AT_S,), (FRESH_AT_T,), GO + EXIT_C),
    Row(
        "cut: T renamed it but did not unpause it",
        UNKNOWN,
        LATER,
        (AWAY_AT_S,),
        (PAUSED_AT_T,),
        GO + EXIT_C,
        mends=UNPAUSE,
    ),
    Row(
        "cut: it ran at T and somebody paused it",
        UNKNOWN,
        PERSON,
        (AWAY_AT_S,),
        (domain(GUEST, PAUSED, 3.0, 9),),
        GO + EXIT_C,
    ),
    Row(
        "cut: it crashed at T",
        CRASH,
        PERSON,
        (AWAY_AT_S,),
        (domain(GUEST, CRASHED, 3.0, 9),),
        GO + EXIT_C,
    ),
    Row(
        "it runs at T although S never gave its name away",
        UNKNOWN,
        PERSON,
        (SUSPENDED_AT_S,),
        (AT_T,),
        GO + EXIT_C,
    ),
    Row(
        "it ran at T under the incoming name",
        UNKNOWN,
        PERSON,
        (AWAY_AT_S,),
        (domain(INCOMING, PAUSED, 0.1, 9),),
        EXIT_C,
    ),
]

ARRIVED = [
    Row("success", MOVED, NONE, (), (AT_T,), recorded("migrate-ok-1-B-to-A.err"), 0),
    Row(
        "success, S could not destroy its copy",
        MOVED,
        NONE,
        (AWAY_AT_S,),
        (AT_T,),
        recorded("migrate-ok-1-B-to-A.err"),
        0,
        mends=DESTROY_SOURCE,
    ),
    Row("success, S keeps a zombie", MOVED, NONE, (domain(AWAY, DYING, 60.0, 5),), (AT_T,), "", 0),
    Row("S lost its power after the go", MOVED, NONE, (), (AT_T,), GO, None),
    Row("it has only just started at T", UNKNOWN, LATER, (), (FRESH_AT_T,), "", 0),
    Row(
        "it arrived paused and S has no copy",
        UNKNOWN,
        LATER,
        (),
        (PAUSED_AT_T,),
        "",
        0,
        mends=UNPAUSE,
    ),
    Row(
        "it ran at T and somebody paused it",
        MOVED,
        NONE,
        (),
        (domain(GUEST, PAUSED, 3.0, 9),),
        "",
        0,
    ),
    Row("S lost its power before the go", UNKNOWN, PERSON, (), (INCOMING_AT_T,), "", None),
    Row(
        "it is suspended again at T",
        UNKNOWN,
        PERSON,
        (),
        (domain(GUEST, SUSPENDED, 3.0, 9),),
        "",
        0,
    ),
    Row(
        "it crashed on resume and was kept",
        CRASH,
        PERSON,
        (),
        (domain(GUEST, CRASHED, 1.0, 9),),
        recorded("migrate-ok-1-B-to-A.err"),
        0,
    ),
    Row(
        "it crashed on resume and was destroyed",
        CRASH,
        PERSON,
        (),
        (),
        recorded("migrate-ok-1-B-to-A.err"),
        0,
    ),
    Row("it shut down at T", CRASH, PERSON, (), (domain(GUEST, SHUT_DOWN, 1.0, 9),), "", 0),
    Row(
        "it crashed at S meanwhile",
        CRASH,
        PERSON,
        (domain(GUEST, CRASHED, 60.0, 5),),
        (),
        "guest we were suspending has been destroyed\n" + EXIT_B,
    ),
    Row("it is nowhere", CRASH, PERSON, (), (), "guest we were suspending has been destroyed"),
    Row("S crashed and it was nowhere else", CRASH, PERSON, (), (), "", None),
]

TWO = [
    Row("it runs at both ends", BOTH, PERSON, (AT_S,), (AT_T,), EXIT_C),
    Row("it runs at S, and arrived at T but is paused", BOTH, PERSON, (AT_S,), (PAUSED_AT_T,), ""),
    Row(
        "it runs at S, and ran at T under the incoming name",
        BOTH,
        PERSON,
        (AT_S,),
        (domain(INCOMING, PAUSED, 0.1, 9),),
        "",
    ),
    Row(
        "it runs at S, and under the incoming name at T",
        BOTH,
        PERSON,
        (AT_S,),
        (domain(INCOMING, RUNS, 0.0, 9),),
        "",
    ),
    Row(
        "it is paused at S and runs at T",
        BOTH,
        PERSON,
        (domain(GUEST, PAUSED, 60.0, 5),),
        (AT_T,),
        "",
    ),
    Row(
        "somebody resumed S under the old name",
        BOTH,
        PERSON,
        (domain(AWAY, RUNS, 60.0, 5),),
        (AT_T,),
        "",
    ),
    Row(
        "it runs at S and crashed at T",
        BOTH,
        PERSON,
        (AT_S,),
        (domain(GUEST, CRASHED, 1.0, 9),),
        "",
    ),
    Row(
        "it crashed at S and runs at T",
        BOTH,
        PERSON,
        (domain(GUEST, CRASHED, 60.0, 5),),
        (AT_T,),
        "",
    ),
    Row("it runs twice at T", BOTH, PERSON, (), (AT_T, domain(GUEST, RUNS, 2.0, 10)), ""),
    Row("S keeps two copies and none runs", UNKNOWN, PERSON, (AWAY_AT_S, SUSPENDED_AT_S), (), ""),
    Row("somebody renamed it at T", UNKNOWN, PERSON, (), (domain("mine", RUNS, 2.0, 9),), "", 0),
    Row(
        "it runs at S under the name of a finished move",
        UNKNOWN,
        PERSON,
        (domain(AWAY, RUNS, 60.0, 5),),
        (),
        "",
    ),
]

ROWS = [*WORDS, *FAILED, *SUSPENDED_ROWS, *ARRIVED, *TWO]


@pytest.mark.parametrize("row", ROWS, ids=[row.sentence for row in ROWS])
def test_each_way_a_migration_can_end(row: Row) -> None:
    late = {"taken_at": NOON + timedelta(minutes=5)}
    source = report("n1", *row.here, **{**late, **row.source})
    destination = report("n2", *row.there, **{**late, **row.destination})
    verdict = settle_move(order(), attempt(row.said, row.code), source, destination)
    assert (verdict.outcome, verdict.retry) == (row.outcome, row.retry), verdict.reason
    assert tuple((mend.action, mend.domid) for mend in verdict.mends) == row.mends
    assert verdict.reason


def test_a_clean_up_names_the_host_that_holds_the_copy() -> None:
    away = settle_move(order(), attempt(EXIT_C), report("n1", AWAY_AT_S), report("n2", AT_T)).mends
    incoming = settle_move(
        order(), attempt(EXIT_B), report("n1", AT_S), report("n2", INCOMING_AT_T)
    ).mends
    assert [mend.host for mend in (*away, *incoming)] == ["n1", "n2"]
    assert {(mend.guest, mend.uuid) for mend in away} == {(GUEST, AT_S.uuid)}


def test_an_attempt_that_still_runs_is_not_settled_whatever_the_hosts_show() -> None:
    running = attempt("", None, state=AttemptState.RUNNING)
    verdict = settle_move(order(), running, report("n1"), report("n2", AT_T))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "it is still running")


@pytest.mark.parametrize("troubled", ["n1", "n2"])
def test_a_report_with_trouble_settles_nothing(troubled: str) -> None:
    source, destination = (
        report(host, trouble=("xl list: no answer",) if host == troubled else ())
        for host in ("n1", "n2")
    )
    verdict = settle_move(order(), attempt("", 0), source, destination)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason.startswith(f"{troubled} cannot be read")


def test_reports_of_other_hosts_settle_nothing() -> None:
    verdict = settle_move(order(), attempt("", 0), report("n2", AT_T), report("n1"))
    assert verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("refusal", "retry"),
    [
        (RefusalCode.PAUSED, NONE),
        (RefusalCode.ABORTED, NONE),
        (RefusalCode.STALE, NONE),
        (RefusalCode.REVOKED, NONE),
        (RefusalCode.GATE, LATER),
        (RefusalCode.BUSY, LATER),
        (RefusalCode.UNREADABLE, LATER),
    ],
)
def test_an_attempt_that_was_refused_changed_nothing(refusal: RefusalCode, retry: Retry) -> None:
    refused = attempt("", None, state=AttemptState.REFUSED, refusal=refusal, reason="because")
    verdict = settle_move(order(), refused, report("n1", AT_S), report("n2"))
    assert (verdict.outcome, verdict.retry) == (Outcome.STAYED, retry)
    assert "because" in verdict.reason


STATES = [RUNS, BLOCKED, PAUSED, SUSPENDED, CRASHED, SHUT_DOWN, DYING, "------", "--psc-", "---sr-"]
copy = st.builds(
    domain,
    name=st.sampled_from([GUEST, AWAY, INCOMING, "other"]),
    state=st.sampled_from(STATES),
    cpu_time_s=st.sampled_from([0.0, 0.1, 50.0]),
    domid=st.integers(1, 3),
)
copies_on_a_host = st.lists(copy, max_size=2, unique_by=lambda d: d.domid)


def runs_now(found: list[Domain]) -> list[Domain]:
    return [d for d in found if d.state in (RUNS, BLOCKED, "------")]


@given(
    here=copies_on_a_host,
    there=copies_on_a_host,
    said=st.sampled_from(["", GO + EXIT_C, EXIT_A, EXIT_B, recorded("migrate-fail-nomem.err")]),
    code=st.sampled_from([0, 1, -9, None]),
    xen=st.sampled_from(["4.17.7", "4.20.0", "", "garbage"]),
    receiving=st.integers(0, 1),
)
def test_whatever_the_hosts_show_nothing_that_runs_or_ran_last_is_destroyed(
    here: list[Domain],
    there: list[Domain],
    said: str,
    code: int | None,
    xen: str,
    receiving: int,
) -> None:
    verdict = settle_move(
        order(),
        attempt(said, code),
        report("n1", *here, xen_version=xen),
        report("n2", *there, receiving=receiving),
    )
    running = [*runs_now(here), *runs_now(there)]
    if len(running) > 1:
        assert verdict.outcome in (Outcome.BOTH, Outcome.UNKNOWN)
        assert verdict.mends == ()
    if verdict.outcome is Outcome.MOVED:
        assert not runs_now(here)
        assert [d.name for d in there if d.cpu_time_s > 0].count(GUEST) == 1
    if verdict.outcome is Outcome.STAYED:
        assert not runs_now(there)
    assert len(verdict.mends) <= 1
    for mend in verdict.mends:
        _allowed(mend.action, mend.domid, here, there)


def _allowed(action: MendAction, domid: int, here: list[Domain], there: list[Domain]) -> None:
    """What the design allows for each clean-up, said once more in other words."""
    at_source = action in (MendAction.DESTROY_SOURCE, MendAction.RESUME_SOURCE)
    target = next(d for d in (here if at_source else there) if d.domid == domid)
    if action is MendAction.DESTROY_SOURCE:
        assert (target.name, target.state) == (AWAY, SUSPENDED)
        assert any(d.name == GUEST and d.cpu_time_s > 0 for d in runs_now(there))
    elif action is MendAction.DESTROY_INCOMING:
        assert (target.name, target.state, target.cpu_time_s) == (INCOMING, PAUSED, 0.0)
    elif action is MendAction.UNPAUSE:
        assert (target.name, target.state, target.cpu_time_s) == (GUEST, PAUSED, 0.0)
        assert not runs_now(here)
    else:
        assert target.state == SUSPENDED
        assert [d for d in there if d.state != DYING] == []
