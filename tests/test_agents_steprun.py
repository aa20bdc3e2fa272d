"""The step runner: at most one start of an attempt, whoever is killed when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents import steprun
from agents.prepare import Command, Work
from agents.steps import Context, StartError, wait
from tests.agents_dom0 import BOOT_ID
from tests.agents_journal_kit import ENDED, ONE, REBOOT, RUNNING, UNKNOWN, Bench, on_bench
from tests.agents_kit import NOON
from tests.waiting import gone, until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with on_bench(tmp_path) as made:
        yield made


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
    supervisor = bench.supervisor(ONE)
    os.kill(supervisor, number)
    until(lambda: gone(supervisor))
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


def test_a_reboot_that_never_comes_ends_after_its_patience(bench: Bench) -> None:
    bench.start(REBOOT, bench.work("/bin/true", linger_s=0.1))
    until(lambda: bench.state(REBOOT) is ENDED)
    said = bench.journal.attempt(REBOOT.attempt_id, BOOT_ID)
    assert said is not None and said.exit_code == 0


def test_a_reboot_whose_command_fails_ends_at_once(bench: Bench) -> None:
    bench.start(REBOOT, bench.work("/bin/false", linger_s=600.0))
    until(lambda: bench.state(REBOOT) is ENDED)


def test_a_command_without_locks_is_known_to_live_when_its_supervisor_is_killed(
    bench: Bench,
) -> None:
    bench.start(ONE, bench.work(inherit_locks=False))
    supervisor = bench.supervisor(ONE)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: gone(supervisor))
    assert bench.state(ONE) is RUNNING
    assert bench.end(ONE) is UNKNOWN


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
