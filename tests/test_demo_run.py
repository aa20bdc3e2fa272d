"""`make run` from outside: what it says, what it leaves behind, how it is gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import redis

from scheduler.demo.example import SMALL, SMALL_POLICY, example_fleet, fleet_file
from scheduler.demo.family import processes
from scheduler.demo.layout import Places
from scheduler.demo.run import DemoError, Memory
from tests.waiting import until


@pytest.fixture
def fleet_path(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.json"
    path.write_text(fleet_file(example_fleet(3, SMALL, SMALL_POLICY)))
    return path


def start(*words: str, redis_url: str = "") -> subprocess.Popen[str]:
    """`make run ARGS=…` without make, in a session of its own as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler.demo", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "XENROLL_REDIS_URL": redis_url},
    )


def demo(*words: str, redis_url: str = "") -> tuple[int, str]:
    process = start(*words, redis_url=redis_url)
    said, _ = process.communicate(timeout=600)
    return process.returncode, said


def left_over(state_dir: Path) -> list[list[str]]:
    """Commands of processes that still have something to do with this state directory."""
    found = [process.command() for process in processes() if not process.zombie]
    return [command for command in found if any(str(state_dir) in word for word in command)]


def nothing_is_left_of(state_dir: Path) -> None:
    """What was killed may need a moment to be gone."""
    until(lambda: not left_over(state_dir), f"the end of {left_over(state_dir)}")


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"{words!r} was never said:\n{''.join(lines)[-3000:]}")


def the_link_lets_one_browser_in_once(link: str) -> bool:
    """Log in with it as the page's script does, read the dashboard, try it again."""
    url, _, code = link.partition("/login#")
    end_s = time.monotonic() + 60.0
    while True:
        try:
            assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
            break
        except httpx.TransportError:
            assert time.monotonic() < end_s, "the dashboard never answered"
            time.sleep(0.1)
    with httpx.Client(base_url=url, headers={"Accept": "text/html"}, timeout=30) as browser:
        assert browser.post("/login", data={"token": code}).status_code == 303
        assert "xenroll" in browser.get("/rollouts").text
    return httpx.post(f"{url}/login", data={"token": code}, timeout=30).status_code == 401


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_that_is_ended_by_ctrl_c_leaves_nothing_and_is_gone_on_with(
    fleet_path: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    words = ("--fleet", str(fleet_path), "--state-dir", str(state))
    process = start(*words)
    said = read_until(process, "/login#")
    assert the_link_lets_one_browser_in_once(said.split()[-1])
    before = read_until(process, "1/6 fixed")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    before += said
    assert process.returncode == 130, said
    assert "to go on: make run ARGS=--resume" in said
    nothing_is_left_of(state)

    code, said = demo(*words, "--resume")
    assert code == 0, said
    assert "hosts on a fixed build  6        6" in said
    assert "35 of 36 guests running exactly once, 1 made to crash" in said
    report = (state / "report.html").read_text()
    # The one that refuses may have done so before the Ctrl-C.
    assert "did not answer the suspend request" in before + said + report
    assert "crashed" in said
    assert "WRONG" not in said
    assert "<svg" in report
    nothing_is_left_of(state)


@pytest.mark.timeout(900)
def test_the_death_of_the_demo_itself_leaves_nothing_running(
    fleet_path: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    process = start("--fleet", str(fleet_path), "--state-dir", str(state))
    read_until(process, "rollout xsa-999 started")
    process.kill()
    process.communicate(timeout=120)
    nothing_is_left_of(state)


def test_a_fleet_file_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    code, said = demo("--fleet", str(tmp_path / "none.json"), "--state-dir", str(tmp_path / "s"))
    assert (code, said.count("\n")) == (2, 1) and "none.json: No such file" in said
    (tmp_path / "bad.json").write_text('{"format": "xenroll.fleet/1"}')
    code, said = demo("--fleet", str(tmp_path / "bad.json"), "--state-dir", str(tmp_path / "s"))
    assert code == 2 and "bad.json: " in said and "Traceback" not in said


@pytest.mark.parametrize("kept", ["", "{}", "[1]", '{"speed": 1, "refusing": 2}'])
def test_a_torn_record_of_a_run_is_named_and_nothing_is_begun_on_it(
    tmp_path: Path, kept: str
) -> None:
    (tmp_path / "run.json").write_text(kept)
    with pytest.raises(DemoError, match=r"run\.json is not what a run keeps"):
        Memory.read(Places(tmp_path))


def test_where_there_is_no_run_nothing_is_mended(tmp_path: Path) -> None:
    code, said = demo("--mend", "--state-dir", str(tmp_path / "s"))
    assert (code, said.count("\n")) == (2, 1) and "no run to go on with or to mend" in said


def test_going_on_with_a_run_that_never_was_is_refused(tmp_path: Path) -> None:
    code, said = demo("--resume", "--state-dir", str(tmp_path / "s"))
    assert (code, said.count("\n")) == (2, 1) and "no run to go on with" in said


def test_a_server_that_holds_a_real_fleet_is_not_written_to(
    redis_url: str, redis_client: redis.Redis, fleet_path: Path, tmp_path: Path
) -> None:
    redis_client.set("xr:inventory", "somebody's")
    words = ("--fleet", str(fleet_path), "--state-dir", str(tmp_path / "s"))
    code, said = demo(*words, redis_url=redis_url)
    assert code == 2 and "already holds a fleet's records" in said
    assert redis_client.get("xr:inventory") == b"somebody's"
    assert redis_client.dbsize() == 1


def test_a_server_that_is_away_is_named(fleet_path: Path, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    words = ("--fleet", str(fleet_path), "--state-dir", str(tmp_path / "s"))
    code, said = demo(*words, redis_url=url)
    assert code == 2 and "nobody.sock: no server answers there" in said and "Trace" not in said
