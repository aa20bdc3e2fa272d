"""The journal: one attempt at a guest at a time, nothing twice, and nothing forgotten too early."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import steprun
from agents.journal import JournalError, held
from agents.steps import StartError, start
from agents.stops import lately_stopped, stopped_guests
from agents.wire import Kind, RefusalCode
from tests.agents_dom0 import BOOT_ID
from tests.agents_journal_kit import (
    ENDED,
    ONE,
    OTHER_GUEST,
    REBOOT,
    REFUSED,
    RUNNING,
    SAME_GUEST,
    Bench,
    on_bench,
)
from tests.agents_kit import OTHER_UUID, order
from tests.waiting import until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with on_bench(tmp_path) as made:
        yield made


def test_two_attempts_never_touch_one_guest_at_a_time(bench: Bench) -> None:
    bench.start(ONE)
    bench.start(SAME_GUEST)
    refused = bench.journal.attempt(SAME_GUEST.attempt_id, BOOT_ID)
    assert refused is not None
    assert (refused.state, refused.refusal) == (REFUSED, RefusalCode.BUSY)
    assert bench.end(ONE) is ENDED
    assert len(bench.started()) == 1


def test_the_guest_stays_locked_while_the_command_of_a_killed_supervisor_lives(
    bench: Bench,
) -> None:
    bench.start(ONE)
    os.kill(bench.supervisor(ONE), signal.SIGKILL)
    bench.start(SAME_GUEST)
    assert bench.state(SAME_GUEST) is REFUSED


def test_two_guests_are_worked_on_side_by_side(bench: Bench) -> None:
    bench.start(ONE)
    bench.start(OTHER_GUEST)
    assert (bench.state(ONE), bench.state(OTHER_GUEST)) == (RUNNING, RUNNING)


def test_a_reboot_is_refused_while_a_guest_is_worked_on_and_the_other_way_round(
    bench: Bench,
) -> None:
    bench.start(ONE)
    bench.start(REBOOT)
    assert bench.state(REBOOT) is REFUSED
    assert bench.end(ONE) is ENDED
    again = order(Kind.REBOOT, attempt_id="r1-s4-a2", boot_id=BOOT_ID)
    bench.start(again, bench.work("/bin/true", linger_s=60.0))
    bench.start(OTHER_GUEST)
    assert (bench.state(again), bench.state(OTHER_GUEST)) == (RUNNING, REFUSED)
    bench.dom0.boot_id("another-boot")
    assert bench.journal.state(again.attempt_id, "another-boot") is ENDED


def test_a_command_that_leaves_a_daemon_behind_does_not_lock_its_guest_for_ever(
    bench: Bench,
) -> None:
    daemon = str(bench.dom0.program("daemon", f"setsid {bench.slow} & exit 0"))
    bench.start(ONE, bench.work(daemon, inherit_locks=False))
    until(lambda: bench.state(ONE) is ENDED and len(bench.started()) == 1)
    assert not held(bench.journal.guest_lock(ONE.guest_uuid or ""))
    bench.start(SAME_GUEST)
    assert bench.state(SAME_GUEST) is RUNNING


def test_an_older_life_of_a_rollout_is_refused_for_ever(bench: Bench) -> None:
    bench.start(order(epoch=5, attempt_id="new"), bench.work("/bin/true"))
    bench.start(order(epoch=4, attempt_id="old"), bench.work())
    said = bench.journal.attempt("old", BOOT_ID)
    assert said is not None and (said.state, said.refusal) == (REFUSED, RefusalCode.STALE)
    assert bench.journal.epoch_file("r1").read_text() == "5"
    assert bench.started() == []


def test_another_rollout_has_epochs_of_its_own(bench: Bench) -> None:
    bench.start(order(epoch=5, attempt_id="a"), bench.work("/bin/true"))
    until(lambda: bench.journal.state("a", BOOT_ID) is ENDED)
    bench.start(order(epoch=1, attempt_id="b", rollout_id="r2"), bench.work("/bin/true"))
    until(lambda: bench.journal.state("b", BOOT_ID) is ENDED)


def test_a_refused_attempt_is_never_started(bench: Bench) -> None:
    bench.journal.record(ONE)
    assert bench.journal.refuse(ONE.attempt_id, RefusalCode.GATE, "it is paused")
    bench.start(ONE)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None
    assert (said.state, said.refusal, said.reason) == (REFUSED, RefusalCode.GATE, "it is paused")
    assert bench.started() == []


def test_a_started_attempt_cannot_be_refused(bench: Bench) -> None:
    bench.start(ONE)
    assert not bench.journal.refuse(ONE.attempt_id, RefusalCode.GATE, "too late")
    assert bench.state(ONE) is RUNNING


def test_a_start_that_cannot_be_noted_durably_starts_nothing(bench: Bench) -> None:
    directory = bench.journal.record(ONE)
    bench.dom0.boot_id("x")
    (bench.dom0.root / "proc/sys/kernel/random/boot_id").unlink()
    with pytest.raises(StartError, match="steprun"):
        start(
            bench.settings.model_copy(update={"start_limit_s": 3.0}),
            bench.journal,
            ONE,
            bench.work(),
            directory,
        )
    assert (bench.state(ONE), bench.started()) == (None, [])


def test_asking_who_holds_a_lock_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not held(path)
    fd = steprun.open_lock(str(path))
    assert not held(path)
    assert steprun.lock(fd, False)
    assert held(path)
    other = steprun.open_lock(str(path))
    assert steprun.lock(other, False)  # a second reader, while somebody asks
    assert not steprun.lock(other, True)
    os.close(fd)
    os.close(other)
    assert not held(path)


def test_only_attempts_with_an_order_and_running_ones_are_reported(bench: Bench) -> None:
    ended = order(attempt_id="ended", guest_uuid=OTHER_UUID)
    bench.start(ended, bench.work("/bin/true"))
    until(lambda: bench.state(ended) is ENDED)
    bench.start(ONE)
    names = {a.attempt_id for a in bench.journal.attempts(frozenset(), BOOT_ID)}
    assert names == {ONE.attempt_id}
    names = {a.attempt_id for a in bench.journal.attempts(frozenset({"ended"}), BOOT_ID)}
    assert names == {ONE.attempt_id, "ended"}


def test_old_journals_go_but_never_one_that_runs_or_has_an_order(bench: Bench) -> None:
    for name, uuid in (("gone", UUIDS[0]), ("ordered", UUIDS[1])):
        one = order(attempt_id=name, guest_uuid=uuid)
        bench.start(one, bench.work("/bin/true"))
        until(lambda one=one: bench.state(one) is ENDED)  # type: ignore[misc]
        lock = bench.journal.directory(name) / "lock"
        until(lambda lock=lock: not held(lock), "the end of its supervisor")  # type: ignore[misc]
    bench.start(ONE)
    far = time.time() + 40 * 86400
    assert bench.journal.prune(frozenset({"ordered"}), 50 * 86400, far) == []
    assert bench.journal.prune(frozenset({"ordered"}), 30 * 86400, far) == ["gone"]
    assert bench.state(ONE) is RUNNING


UUIDS = [f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]


def test_guests_that_a_rollout_shut_down_here_are_remembered(bench: Bench) -> None:
    stop = order(Kind.STOP)
    bench.start(stop, bench.work("/bin/true"))
    until(lambda: bench.state(stop) is ENDED)
    failed = order(Kind.STOP, attempt_id="f", guest="web", guest_uuid=OTHER_UUID)
    bench.start(failed, bench.work("/bin/false"))
    until(lambda: bench.state(failed) is ENDED)
    assert stopped_guests(bench.journal, "r1") == {"db-3"}
    assert stopped_guests(bench.journal, "r2") == frozenset()


def test_a_stop_is_told_for_an_hour_without_its_order_unless_a_start_followed(bench: Bench) -> None:
    stop = order(Kind.STOP)
    bench.start(stop, bench.work("/bin/true"))
    until(lambda: bench.state(stop) is ENDED)
    now_s = time.time()
    assert lately_stopped(bench.journal, now_s) == {stop.attempt_id}
    assert lately_stopped(bench.journal, now_s + 3700) == frozenset()
    start_again = order(Kind.START, attempt_id="a2")
    bench.start(start_again, bench.work("/bin/true"))
    until(lambda: bench.state(start_again) is ENDED)
    assert lately_stopped(bench.journal, now_s) == frozenset()


def test_a_guest_that_was_started_again_is_not_one_that_was_shut_down(bench: Bench) -> None:
    told = [order(Kind.STOP, attempt_id="z1"), order(Kind.START, attempt_id="a2")]
    for one in told:
        bench.start(one, bench.work("/bin/true"))
        until(lambda one=one: bench.state(one) is ENDED)  # type: ignore[misc]
    assert stopped_guests(bench.journal, "r1") == frozenset()
    again = order(Kind.STOP, attempt_id="b3")
    bench.start(again, bench.work("/bin/true"))
    until(lambda: bench.state(again) is ENDED)
    assert stopped_guests(bench.journal, "r1") == {"db-3"}


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 161, "a b", "ä", "a\n"])
def test_an_attempt_id_is_never_a_path(bench: Bench, name: str) -> None:
    with pytest.raises(JournalError, match="no attempt id"):
        bench.journal.state(name, BOOT_ID)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", '{"code": "none such"}'])
def test_a_journal_that_cannot_be_read_is_named(bench: Bench, text: str) -> None:
    directory = bench.journal.record(ONE)
    (directory / "refused.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(JournalError, match=ONE.attempt_id):
        bench.journal.attempt(ONE.attempt_id, BOOT_ID)
