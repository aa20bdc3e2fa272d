"""Hooks as real commands: what they get, and what their end means."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from scheduler.gates import Hook, HookStage
from scheduler.hook_runner import HookKey, HookRunner, Verdict, verdicts_key
from scheduler.hook_warden import Warden, new_mark
from tests.hook_kit import script
from tests.waiting import children, gone, until

KEY = HookKey("r1", "h1", HookStage.BEFORE_DRAIN, 1)


@pytest.fixture
def runner(redis_client: redis.Redis) -> Iterator[HookRunner]:
    runner = HookRunner(redis_client)
    yield runner
    runner.close()


def verdict(runner: HookRunner, key: HookKey = KEY) -> Verdict:
    until(lambda: key.field in runner.verdicts(key.rollout))
    return runner.verdicts(key.rollout)[key.field]


@pytest.mark.parametrize("code", [0, 1, 70, 255])
def test_a_hook_reads_a_document_and_its_exit_code_is_kept(
    runner: HookRunner, tmp_path: Path, code: int
) -> None:
    hook = script(tmp_path / "hook", f'echo "$1 got $(cat)"; echo trouble >&2; exit {code}')
    runner.give(KEY, hook, {"host": "h1"})
    assert verdict(runner) == Verdict(code, 'argument got {"host": "h1"}\ntrouble\n')


CONTROLLER = """
import sys, redis
from scheduler.gates import Hook, HookStage
from scheduler.hook_runner import HookKey, HookRunner
runner = HookRunner(redis.Redis.from_url(sys.argv[1]))
key = HookKey("r1", "h1", HookStage.BEFORE_DRAIN, 1)
runner.give(key, Hook(argv=(sys.argv[2],), timeout_s=600), {})
sys.stdin.read()
"""


def test_a_hook_ends_with_a_controller_that_is_killed_and_so_does_what_it_started(
    redis_url: str, tmp_path: Path
) -> None:
    """Else it would go on beside the one that the next controller starts, without any limit."""
    body = f"sleep 600 & echo $$ $! > {tmp_path}/aside; mv {tmp_path}/aside {tmp_path}/pids; wait"
    hook = script(tmp_path / "hook", body)
    argv = [sys.executable, "-c", CONTROLLER, redis_url, hook.argv[0]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as controller:
        until((tmp_path / "pids").exists, "the hook runs")
        controller.kill()
    pids = list(map(int, (tmp_path / "pids").read_text().split()))
    until(lambda: all(map(gone, pids)), "both are ended")


def test_a_controller_that_is_just_let_go_leaves_no_warden_behind() -> None:
    before = set(children(os.getpid()))
    warden = Warden()
    warden.up()
    started = set(children(os.getpid())) - before
    del warden
    gc.collect()
    until(lambda: all(map(gone, started)), "it is gone")
    assert len(started) == 1


def marked(mark: str) -> dict[str, str]:
    name, _, value = mark.partition("=")
    return {**os.environ, name: value}


def test_a_warden_that_was_killed_is_followed_by_another_that_knows_what_runs() -> None:
    mark, other = new_mark(), new_mark()
    with (
        subprocess.Popen(["sleep", "600"], env=marked(mark)) as hook,
        subprocess.Popen(["sleep", "600"], env=marked(other)) as left_behind,
    ):
        before = set(children(os.getpid()))
        warden = Warden()
        warden.up()
        warden.begins(mark)
        warden.begins(other)
        warden.ends(other)
        (first,) = set(children(os.getpid())) - before
        os.kill(first, signal.SIGKILL)
        until(lambda: gone(first))
        warden.up()
        warden.close()
        assert hook.wait(60) == -signal.SIGKILL, "it was not told that the hook had ended"
        assert left_behind.poll() is None, "what a hook has left running is nobody's business"
        left_behind.kill()


def test_a_verdict_that_a_server_lost_is_told_again_and_its_hook_does_not_run_again(
    runner: HookRunner, redis_client: redis.Redis, tmp_path: Path
) -> None:
    hook = script(tmp_path / "hook", f"echo x >> {tmp_path}/runs; exit 1")
    runner.give(KEY, hook, {})
    said = verdict(runner)
    redis_client.delete(verdicts_key(KEY.rollout))
    runner.give(KEY, hook, {})
    assert verdict(runner) == said
    assert (tmp_path / "runs").read_text() == "x\n"


def test_a_hook_that_does_not_end_in_time_is_ended_with_what_it_started(
    runner: HookRunner, tmp_path: Path
) -> None:
    body = f"echo begun; sleep 600 & echo $! > {tmp_path}/child; wait"
    hook = script(tmp_path / "hook", body).model_copy(update={"timeout_s": 4.0})
    runner.give(KEY, hook, {})
    assert verdict(runner) == Verdict(None, "begun\n\nended after 4 s")
    child = int((tmp_path / "child").read_text())
    until(lambda: gone(child), "the end of what it started")


def test_a_hook_that_leaves_something_running_is_not_waited_for(
    runner: HookRunner, tmp_path: Path
) -> None:
    hook = script(tmp_path / "hook", f"sleep 600 & echo $! > {tmp_path}/child; exit 0")
    runner.give(KEY, hook, {})
    assert verdict(runner).exit_code == 0
    os.kill(int((tmp_path / "child").read_text()), 9)


def test_a_command_that_is_not_there_is_a_failure_in_words(
    runner: HookRunner, tmp_path: Path
) -> None:
    runner.give(KEY, Hook(argv=(str(tmp_path / "none"),)), {})
    assert verdict(runner).exit_code is None
    assert "cannot be started: [Errno 2] No such file" in verdict(runner).tail


def test_whatever_goes_wrong_in_a_hooks_thread_is_a_failure_in_words(
    runner: HookRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = script(tmp_path / "hook", "exit 0")
    with monkeypatch.context() as full:  # there is no room for what it is to read
        full.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        runner.give(KEY, hook, {})
        seen = verdict(runner)
    assert seen.exit_code is None
    assert seen.tail.startswith(f"{hook.argv[0]}: FileNotFoundError: [Errno 2] No such file")


def test_a_hook_that_nobody_can_wait_for_is_ended_and_is_a_failure(
    runner: HookRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is not None:
            raise RuntimeError("nobody waits")
        return waited(process)

    waited = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    hook = script(tmp_path / "hook", f"echo $$ > {tmp_path}/process; sleep 600")
    runner.give(KEY, hook, {})
    assert verdict(runner) == Verdict(None, f"{hook.argv[0]}: RuntimeError: nobody waits")
    number = tmp_path / "process"  # it may have been ended before it could write this
    written = number.read_text().strip() if number.exists() else ""
    assert not written or gone(int(written))


def test_only_the_end_of_a_long_output_is_kept(runner: HookRunner, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", "seq 1 200000; printf '\\377'; exit 3")
    runner.give(KEY, hook, {})
    tail = verdict(runner).tail
    assert len(tail) <= 1000 and tail.endswith("200000\n�")


def test_the_same_run_is_started_once_and_the_next_number_again(
    runner: HookRunner, tmp_path: Path
) -> None:
    hook = script(tmp_path / "hook", f"echo run >> {tmp_path}/runs")
    for _ in range(5):
        runner.give(KEY, hook, {})
    second = HookKey("r1", "h1", HookStage.BEFORE_DRAIN, 2)
    verdict(runner)
    runner.give(second, hook, {})
    verdict(runner, second)
    assert (tmp_path / "runs").read_text().split() == ["run", "run"]
