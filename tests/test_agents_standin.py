"""Whole moves between two simulated hosts: what the agents conclude is what happened.

The stand-in's hypervisors keep a ledger of their own: it says where the guest runs, whatever `xl`
printed and whatever the agents believe.
"""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from agents.journal import Journal
from agents.keys import keys
from agents.settle import Outcome, Retry, settle_move
from agents.steps import Context, run_step
from agents.wire import AttemptState, Kind, RefusalCode
from scheduler.standin import ledger
from scheduler.standin.fault_table import FAULTS, clear, inject
from scheduler.standin.faults import HOST
from tests.agents_pair import Pair
from tests.agents_process import kill
from tests.standin_lab import part_of


@pytest.fixture
def pair(tmp_path: Path, redis_client: redis.Redis) -> Pair:
    return Pair(tmp_path, redis_client)


End = tuple[Outcome, list[str]]
STAYED: End = (Outcome.STAYED, ["n1"])
MOVED: End = (Outcome.MOVED, ["n2"])
GONE: End = (Outcome.CRASHED, [])
PERSON: End = (Outcome.UNKNOWN, [])

ENDS: list[tuple[str, str | None, End, set[Retry]]] = [
    ("invalid-domain", None, STAYED, {Retry.LATER}),
    ("config-unreadable", None, STAYED, {Retry.SAME, Retry.LATER}),
    ("no-config", None, STAYED, {Retry.PERSON, Retry.LATER}),
    ("ssh-refused", None, STAYED, {Retry.SAME}),
    ("ssh-unreachable", None, STAYED, {Retry.SAME}),
    ("ssh-auth", None, STAYED, {Retry.SAME}),
    ("ssh-hostkey", None, STAYED, {Retry.SAME}),
    ("remote-xl-missing", None, STAYED, {Retry.SAME}),
    ("chatter", None, STAYED, {Retry.PERSON}),
    ("header-break", None, STAYED, {Retry.SAME, Retry.LATER}),
    ("refuse", "Illegal pool specified: fast", STAYED, {Retry.OTHER_DESTINATION}),
    ("needs-newer-xl", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("logdirty-nomem", None, STAYED, {Retry.LATER}),
    ("qemu-logdirty", None, STAYED, {Retry.SAME}),
    ("p2m-changed", None, STAYED, {Retry.LATER}),
    ("stale-incoming", "n2", STAYED, {Retry.OTHER_DESTINATION}),
    ("stream-write-fails", None, STAYED, {Retry.SAME}),
    ("ignores-suspend", None, STAYED, {Retry.NEVER}),
    ("crashes-in-migration", None, GONE, {Retry.PERSON}),
    ("shuts-down-in-migration", None, GONE, {Retry.PERSON}),
    ("reboots-in-migration", None, STAYED, {Retry.LATER}),
    ("qemu-save-fails", None, STAYED, {Retry.SAME}),
    ("break-after-suspend", None, STAYED, {Retry.SAME}),
    ("stranded-suspend", None, PERSON, {Retry.PERSON}),
    ("restore-nomem", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("restore-hvm", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("restore-cpuid", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("restore-disk", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("restore-nic", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("monitor-fails", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("ready-unwritable", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("cut-before-go", None, PERSON, {Retry.PERSON}),
    ("cut-after-go", None, MOVED, {Retry.NONE}),
    ("name-clash", "n2", STAYED, {Retry.OTHER_DESTINATION}),
    ("unpause-fails", None, STAYED, {Retry.OTHER_DESTINATION}),
    ("destroy-fails-dest", None, PERSON, {Retry.PERSON}),
    ("zombie-source", None, MOVED, {Retry.NONE}),
    ("crashes-on-resume", None, GONE, {Retry.PERSON}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "text", "end", "retry"), ENDS, ids=[row[0] for row in ENDS])
def test_what_is_concluded_of_a_failed_move_is_what_the_hypervisors_know(
    pair: Pair,
    fault: str,
    text: str | None,
    end: End,
    retry: set[Retry],
) -> None:
    on = "n2" if FAULTS[fault][0] == HOST else "db"
    inject(pair.world, on, fault, count=1, **({"text": text} if text else {}))
    if fault == "destroy-fails-dest":
        inject(pair.world, on, "unpause-fails", count=1)
    attempt, verdict = pair.moves()
    assert attempt.state is AttemptState.ENDED, attempt
    assert (verdict.outcome, pair.where()) == end, (verdict.reason, attempt.output_tail)
    assert verdict.retry in retry, (verdict.reason, attempt.output_tail)
    assert ledger.audit(pair.world) == []


KILLED: list[tuple[str, End]] = [
    ("precopy", STAYED),
    ("suspended", PERSON),
    ("renamed", PERSON),
    ("go-sent", MOVED),
    ("reported", MOVED),
]


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["xl alone", "xl and its supervisor"])
@pytest.mark.parametrize(("point", "end"), KILLED, ids=[row[0] for row in KILLED])
def test_when_xl_is_killed_at_a_point_of_its_protocol_the_guest_is_found_where_it_is(
    pair: Pair, point: str, end: End, whole: bool
) -> None:
    order, xl = pair.holds(point)
    fields = Path(f"/proc/{xl}/stat").read_text().rpartition(")")[2].split()
    for pid in ([int(fields[1])] if whole else []) + [xl]:
        kill(pid)
    attempt = pair.lets_go(order)
    assert attempt.exit_code == (None if whole else -9)
    verdict = pair.settles(order, attempt)
    assert (verdict.outcome, pair.where()) == end, verdict.reason
    assert verdict.mends == ()


# Row by row: which process of a migration is killed, how, where the migration stands, what follows.
PARTS: list[tuple[str, str, str, End]] = [
    ("helper", "TERM", "precopy", STAYED),
    ("helper", "KILL", "precopy", STAYED),
    ("helper", "KILL", "suspended", STAYED),
    ("ssh", "KILL", "precopy", STAYED),
    ("ssh", "KILL", "suspended", STAYED),
    ("ssh", "KILL", "renamed", PERSON),
    ("ssh", "KILL", "got-go", MOVED),
    ("receiver", "KILL", "precopy", STAYED),
    ("receiver", "KILL", "restored", STAYED),
    ("receiver", "KILL", "got-go", PERSON),
    ("receiver", "KILL", "named", MOVED),
    ("receiver", "KILL", "unpaused", MOVED),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "how", "point", "end"), PARTS, ids=["-".join(row[:3]) for row in PARTS]
)
def test_whichever_process_of_a_migration_is_killed_the_guest_is_found_where_it_is(
    pair: Pair, which: str, how: str, point: str, end: End
) -> None:
    order, xl = pair.holds(point)
    os.kill(part_of(xl, which), getattr(signal, f"SIG{how}"))
    attempt = pair.lets_go(order)
    assert attempt.exit_code != 0
    verdict = pair.settles(order, attempt)
    assert (verdict.outcome, pair.where()) == end, (verdict.reason, attempt.output_tail)
    assert ledger.audit(pair.world) == []


def test_a_plain_move_arrives_and_leaves_nothing_behind(pair: Pair) -> None:
    attempt, verdict = pair.moves()
    assert (attempt.exit_code, verdict.outcome, pair.where()) == (0, *MOVED)
    assert pair.look("n1").leftovers == () and len(pair.look("n1").domains) == 1
    assert ledger.audit(pair.world) == []


def test_a_guest_goes_there_and_back(pair: Pair) -> None:
    assert pair.moves()[1].outcome is Outcome.MOVED
    order = pair.order(Kind.MOVE, "n2", destination="n1", destination_address="n1")
    attempt = pair.runs(order)
    verdict = settle_move(order, attempt, pair.look("n2"), pair.look("n1"))
    assert (verdict.outcome, pair.where()) == (Outcome.MOVED, ["n1"])


@pytest.mark.parametrize("fault", ["xl-garbage", "xl-fails", "xl-missing"])
def test_a_source_whose_xl_is_broken_starts_nothing(pair: Pair, fault: str) -> None:
    inject(pair.world, "n1", fault, count=None)
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    settings = pair.settings["n1"]
    pair.client.hset(keys.orders("n1"), order.attempt_id, order.model_dump_json())
    run_step(Context(settings, pair.client, lambda: datetime.now(UTC)), order.attempt_id)
    clear(pair.world, "n1")
    said = Journal(settings.state).attempt(order.attempt_id, pair.look("n1").boot_id)
    assert said is not None and said.refusal is RefusalCode.UNREADABLE
    assert pair.where() == ["n1"]


def test_stopping_and_starting_keeps_the_guest_the_same_guest(pair: Pair) -> None:
    assert pair.runs(pair.order(Kind.STOP, "n1")).exit_code == 0
    assert pair.where() == [] and len(pair.look("n1").domains) == 1
    assert pair.runs(pair.order(Kind.START, "n1")).exit_code == 0
    assert [g.uuid for g in pair.look("n1").guests] == [pair.uuid]
    assert ledger.audit(pair.world) == []
