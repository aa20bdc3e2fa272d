"""The journal and the step runner: at most one start of an attempt, whoever is killed when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agents import steprun
from agents.journal import Journal, JournalError, held
from agents.prepare import Command, Work
from agents.steps import Context, StartError, start, wait
from agents.wire import AttemptState, Kind, Order, RefusalCode
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import NOON, OTHER_UUID, order
from tests.waiting import until

RUNNING, ENDED = AttemptState.RUNNING, AttemptState.ENDED
UNKNOWN, REFUSED = AttemptState.UNKNOWN, AttemptState.REFUSED


class Bench:
    """A journal, and a command that counts its starts and ends when it is told to."""

    def __init__(self, base: Path) -> None:
        self.dom0 = Dom0(base)
        self.settings = self.dom0.settings
        self.journal = Journal(self.settings.state)
        self.starts = base / "starts"
        self.go = base / "go"
        body = f"echo $$ >> {self.starts}; while [ ! -e {self.go} ]; do sleep 0.02; done; "
        self.slow = str(self.dom0.program("slow", body + "echo done >&2; exit 3"))

    def work(self, *argv: str, **more: Any) -> Work:
        return Work((Command(argv or (self.slow,)),), **more)

    def start(self, ordered: Order, work: Work | None = None) -> None:
        directory = self.journal.record(ordered)
        start(self.settings, self.journal, ordered, work or self.work(), directory)

    def state(self, ordered: Order) -> AttemptState | None:
        return self.journal.state(ordered.attempt_id, BOOT_ID)

    def started(self) -> list[int]:
        return [int(x) for x in self.starts.read_text().split()] if self.starts.exists() else []

    def supervisor(self, ordered: Order) -> int:
        """The step runner's process, found as the parent of the command."""
        until(lambda: bool(self.started()))
        fields = Path(f"/proc/{self.started()[-1]}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1])

    def end(self, ordered: Order) -> AttemptState | None:
        self.go.touch()
        until(lambda: self.state(ordered) is not RUNNING)
        return self.state(ordered)


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    made.go.touch()


ONE = order()
SAME_GUEST = order(attempt_id="r1-s2-a1")
OTHER_GUEST = order(attempt_id="r1-s3-a1", guest="web", guest_uuid=OTHER_UUID)
REBOOT = order(Kind.REBOOT, attempt_id="r1-s4-a1", boot_id=BOOT_ID)


def test_an_attempt_runs_once_and_its_end_is_on_disk(bench: Bench) -> None:
    assert bench.state(ONE) is None
    bench.start(ONE, bench.work(domid=5))
    assert bench.state(ONE) is RUNNING
    assert bench.end(ONE) is ENDED
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None
    assert (said.exit_code, said.output_tail, said.domid) == (3, "done\n", 5)
    assert said.started_at is not None and said.ended_at is not None
    assert said.started_at < said.ended_at
    assert (said.guest, said.boot_id) == ("db-3", BOOT_ID)


def test_twenty_starters_at_once_start_it_once(bench: Bench) -> None:
    directory = bench.journal.record(ONE)
    bench.start(ONE)
    spec = next(directory.glob("spec.*")).name
    argv = [sys.executable, "-I", "-S", steprun.__file__, str(directory), spec]
    for one in [subprocess.Popen(argv) for _ in range(20)]:
        assert one.wait() == 0
    assert bench.end(ONE) is ENDED
    assert len(bench.started()) == 1


def test_twenty_starters_of_a_fresh_attempt_start_it_once(bench: Bench, tmp_path: Path) -> None:
    from agents.steps import spec

    directory = bench.journal.record(ONE)
    told = spec(bench.settings, bench.journal, ONE, bench.work())
    (directory / "spec.json").write_text(json.dumps(told))
    argv = [sys.executable, "-I", "-S", steprun.__file__, str(directory), "spec.json"]
    for one in [subprocess.Popen(argv) for _ in range(20)]:
        assert one.wait() == 0
    assert bench.end(ONE) is ENDED
    assert len(bench.started()) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_supervisor_is_killed_the_attempt_runs_on_until_the_command_ends(
    bench: Bench, number: signal.Signals
) -> None:
    bench.start(ONE)
    os.kill(bench.supervisor(ONE), number)
    time.sleep(0.1)
    assert bench.state(ONE) is RUNNING
    assert bench.end(ONE) is UNKNOWN  # the exit code is lost, and never guessed
    bench.start(ONE)
    assert len(bench.started()) == 1


def test_when_supervisor_and_command_are_killed_it_is_unknown_and_never_run_again(
    bench: Bench,
) -> None:
    bench.start(ONE)
    os.kill(bench.supervisor(ONE), signal.SIGKILL)
    os.kill(bench.started()[0], signal.SIGKILL)
    until(lambda: bench.state(ONE) is UNKNOWN)
    bench.start(ONE)
    assert (bench.state(ONE), len(bench.started())) == (UNKNOWN, 1)


def test_when_only_the_command_is_killed_its_signal_is_the_exit_code(bench: Bench) -> None:
    bench.start(ONE)
    bench.supervisor(ONE)
    os.kill(bench.started()[0], signal.SIGKILL)
    until(lambda: bench.state(ONE) is ENDED)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == -signal.SIGKILL


def test_a_crash_between_the_note_and_the_start_is_unknown_and_starts_nothing(
    bench: Bench,
) -> None:
    directory = bench.journal.record(ONE)
    started = {"kind": "move", "boot_id": BOOT_ID, "started_at": NOON.isoformat()}
    (directory / "started.json").write_text(json.dumps(started))
    bench.start(ONE)
    assert (bench.state(ONE), bench.started()) == (UNKNOWN, [])


def test_after_another_boot_a_started_attempt_is_unknown_at_once(bench: Bench) -> None:
    bench.start(ONE)
    assert bench.journal.state(ONE.attempt_id, "another-boot") is UNKNOWN


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


def test_a_reboot_that_never_comes_ends_after_its_patience(bench: Bench) -> None:
    bench.start(REBOOT, bench.work("/bin/true", linger_s=0.1))
    until(lambda: bench.state(REBOOT) is ENDED)
    said = bench.journal.attempt(REBOOT.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == 0


def test_a_reboot_whose_command_fails_ends_at_once(bench: Bench) -> None:
    bench.start(REBOOT, bench.work("/bin/false", linger_s=600.0))
    until(lambda: bench.state(REBOOT) is ENDED)


def test_a_command_that_leaves_a_daemon_behind_does_not_lock_its_guest_for_ever(
    bench: Bench,
) -> None:
    daemon = str(bench.dom0.program("daemon", f"setsid {bench.slow} & exit 0"))
    bench.start(ONE, bench.work(daemon, inherit_locks=False))
    until(lambda: bench.state(ONE) is ENDED and len(bench.started()) == 1)
    assert not held(bench.journal.guest_lock(ONE.guest_uuid or ""))
    bench.start(SAME_GUEST)
    assert bench.state(SAME_GUEST) is RUNNING


def test_a_command_without_locks_is_known_to_live_when_its_supervisor_is_killed(
    bench: Bench,
) -> None:
    bench.start(ONE, bench.work(inherit_locks=False))
    os.kill(bench.supervisor(ONE), signal.SIGKILL)
    time.sleep(0.1)
    assert bench.state(ONE) is RUNNING
    assert bench.end(ONE) is UNKNOWN


def test_an_older_life_of_a_rollout_is_refused_for_ever(bench: Bench) -> None:
    bench.start(order(epoch=5, attempt_id="new"), bench.work("/bin/true"))
    bench.start(order(epoch=4, attempt_id="old"), bench.work())
    said = bench.journal.attempt("old", BOOT_ID)
    assert said is not None and (said.state, said.refusal) == (REFUSED, RefusalCode.STALE)
    assert bench.journal.known_epoch("r1") == 5
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


def test_commands_run_in_order_until_one_fails(bench: Bench) -> None:
    note = bench.dom0.base / "note"
    commands = tuple(
        Command(("/bin/sh", "-c", f"echo {n} >> {note}; exit {code}"))
        for n, code in ((1, 0), (2, 4), (3, 0))
    )
    bench.start(ONE, Work(commands))
    until(lambda: bench.state(ONE) is ENDED)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == 4
    assert note.read_text() == "1\n2\n"


def test_a_command_is_tried_again_only_for_the_code_that_asks_for_it(bench: Bench) -> None:
    note = bench.dom0.base / "note"
    busy = f"echo x >> {note}; [ $(wc -l < {note}) -ge 3 ] || exit 2"
    bench.start(ONE, Work((Command(("/bin/sh", "-c", busy), tries=5, retry_code=2),)))
    until(lambda: bench.state(ONE) is ENDED)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == 0
    assert note.read_text() == "x\n" * 3


def test_a_command_that_only_waits_is_ended_after_its_limit(bench: Bench) -> None:
    bench.start(ONE, Work((Command((bench.slow,), limit_s=0.2),)))
    until(lambda: bench.state(ONE) is ENDED)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == -signal.SIGTERM


def test_a_program_that_is_missing_ends_the_attempt_and_says_so(bench: Bench) -> None:
    bench.start(ONE, bench.work("/no/such/xl"))
    until(lambda: bench.state(ONE) is ENDED)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == 127
    assert said.output_tail == "/no/such/xl: cannot be run: No such file or directory\n"


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


def test_waiting_returns_when_the_attempt_has_ended(bench: Bench, redis_client: Any) -> None:
    bench.start(ONE)
    bench.go.touch()
    context = Context(bench.settings, redis_client, lambda: NOON)
    assert wait(context, bench.journal, ONE.attempt_id) is ENDED


def test_an_attempt_that_was_never_started_is_not_waited_for(
    bench: Bench, redis_client: Any
) -> None:
    bench.journal.record(ONE)
    with pytest.raises(StartError, match="was not started"):
        wait(Context(bench.settings, redis_client, lambda: NOON), bench.journal, ONE.attempt_id)


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
    assert bench.journal.stopped_guests("r1") == {"db-3"}
    assert bench.journal.stopped_guests("r2") == frozenset()


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


def test_the_bytes_that_the_transport_sent_are_those_of_the_biggest_writer(bench: Bench) -> None:
    sends = f"head -c 3000000 /dev/zero | cat > {bench.dom0.base}/sent; {bench.slow} & wait"
    bench.start(ONE, bench.work("/bin/sh", "-c", f"({sends})"))
    bench.supervisor(ONE)
    said = bench.journal.attempt(ONE.attempt_id, BOOT_ID)
    assert said is not None and said.bytes_sent is not None


def test_the_runner_needs_nothing_but_the_standard_library() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({steprun.__file__!r});"
        "print(sorted(n for n in ('pydantic', 'redis', 'rq', 'agents') if n in sys.modules))"
    )
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr
