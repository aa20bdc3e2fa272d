"""A whole agent as a process: it reports, is woken, outlives its workers and its server."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agents.__main__ import main
from agents.journal import Journal
from agents.keys import SETTLED, keys
from agents.wire import AttemptState
from scheduler.embedded import EmbeddedServer
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import domain, order
from tests.agents_process import Agent, Controller, kill
from tests.waiting import gone, until


class Bench:
    """A dom0 whose migrations last until `go` exists, an agent, a controller."""

    def __init__(self, base: Path, url: str, client: redis.Redis, interval_s: float = 0.5) -> None:
        self.dom0 = Dom0(base, url, report_interval_s=interval_s)
        self.go = base / "go"
        slow = f"while [ ! -e {self.go} ]; do sleep 0.02; done; exit 1"
        self.dom0.shows(domain(), change=slow)
        self.agent, self.controller = Agent(self.dom0), Controller(client)
        self.controller.wants("run")

    def up(self) -> None:
        self.agent.start()
        until(lambda: self.controller.report() is not None, "the first report")

    def moving(self) -> None:
        self.controller.gives(order())
        until(lambda: self.controller.state("r1-s1-a1") == "running", "the start")

    def logged(self, text: str) -> int:
        return len(re.findall(text, self.agent.log.read_text()))


@pytest.fixture
def bench(tmp_path: Path, redis_url: str, redis_client: redis.Redis) -> Iterator[Bench]:
    made = Bench(tmp_path, redis_url, redis_client)
    yield made
    made.go.touch()
    made.agent.stop()


def test_it_reports_again_and_again_with_a_growing_number(bench: Bench) -> None:
    bench.up()
    first = bench.controller.report()
    assert first is not None
    until(lambda: (r := bench.controller.report()) is not None and r.sequence > first.sequence)
    later = bench.controller.report()
    assert later is not None and later.agent_id == first.agent_id


def test_a_wanted_look_is_answered_at_once_when_it_is_woken(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    bench = Bench(tmp_path, redis_url, redis_client, interval_s=600.0)
    bench.up()
    try:
        redis_client.set(keys.look("n1"), 42)
        redis_client.lpush(keys.wake("n1"), "x", "x", "x")
        until(lambda: (r := bench.controller.report()) is not None and r.answers == 42)
    finally:
        bench.agent.stop()


def test_a_second_agent_on_the_same_state_directory_refuses_to_start(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.up()
    assert main(["run", "--config", str(bench.dom0.written())]) == 2
    said = capfd.readouterr().err
    assert f"error: another agent (pid {bench.agent.pid}) runs on {bench.dom0.base}/state" in said


def test_after_a_kill_the_next_agent_starts_although_workers_of_the_first_still_wait(
    bench: Bench,
) -> None:
    bench.up()
    bench.moving()
    bench.agent.kill()
    bench.agent.start()
    bench.go.touch()
    until(lambda: bench.controller.state("r1-s1-a1") == "ended", "the end")
    assert len(bench.dom0.calls("migrate")) == 1


def test_it_ends_when_it_is_told_to_and_leaves_what_runs_alone(bench: Bench) -> None:
    bench.up()
    bench.moving()
    assert bench.agent.kill(signal.SIGTERM) == 0
    journal = Journal(bench.dom0.settings.state)
    assert journal.state("r1-s1-a1", BOOT_ID) is AttemptState.RUNNING
    bench.go.touch()
    until(lambda: journal.state("r1-s1-a1", BOOT_ID) is AttemptState.ENDED, "the end")


def test_idle_workers_end_with_their_agent(bench: Bench) -> None:
    bench.up()
    until(lambda: len(bench.agent.workers()) == 1, "the worker")
    worker = bench.agent.workers()[0]
    assert bench.agent.kill(signal.SIGTERM) == 0
    until(lambda: gone(worker), "the worker's end")


def test_idle_workers_end_although_their_server_is_gone(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        bench = Bench(tmp_path / "dom0", server.url, client)
        bench.up()
        until(lambda: client.scard("rq:workers") == 1, "the worker")
    worker = bench.agent.workers()[0]
    server.stop()
    bench.agent.kill(signal.SIGTERM)
    until(lambda: gone(worker), "the worker's end")


def test_a_worker_that_dies_is_replaced(bench: Bench) -> None:
    bench.up()
    until(lambda: len(bench.agent.workers()) == 1, "the worker")
    first = bench.agent.workers()[0]
    kill(first)
    until(lambda: bool(bench.agent.workers()) and bench.agent.workers() != [first], "the next")
    assert bench.logged(f"worker {first} ended") == 1
    bench.go.touch()
    bench.controller.gives(order())
    until(lambda: bench.controller.state("r1-s1-a1") == "ended", "a step on the new worker")


def test_a_claim_whose_job_was_killed_is_settled_by_the_next_report(bench: Bench) -> None:
    bench.up()
    bench.moving()
    bench.controller.client.hset(keys.claims("n1"), "r1-s1-a1", "2026-11-22T12:00:00")
    until(
        lambda: bench.controller.client.hget(keys.claims("n1"), "r1-s1-a1") == SETTLED.encode(),
        "the settled claim",
    )


def test_trouble_is_logged_once_and_so_is_its_end(bench: Bench) -> None:
    bench.dom0.program("xl", "echo garbage")
    bench.up()
    until(lambda: (r := bench.controller.report()) is not None and r.sequence > 3)
    bench.dom0.shows(domain())
    until(lambda: (r := bench.controller.report()) is not None and not r.trouble)
    until(lambda: bench.logged("trouble: all is well again") == 1, "the end of the trouble")
    told = re.findall("xl [^:]*: .*expected the heading.*", bench.agent.log.read_text())
    assert told and len(told) == len(set(told)), bench.agent.log.read_text()


def test_when_all_data_is_lost_it_reports_everything_that_runs_again(bench: Bench) -> None:
    bench.up()
    bench.moving()
    bench.controller.client.flushall()
    until(lambda: bench.controller.state("r1-s1-a1") == "running", "the report")
    bench.go.touch()
    bench.controller.client.hset(keys.orders("n1"), "r1-s1-a1", order().model_dump_json())
    until(lambda: bench.controller.state("r1-s1-a1") == "ended", "the end")
    bench.controller.wants("run")
    bench.controller.sends("r1-s1-a1")
    until(lambda: bench.controller.queue.count == 0, "the job")
    assert len(bench.dom0.calls("migrate")) == 1


def test_while_its_server_is_away_it_stays_and_reports_when_it_is_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    client = redis.Redis.from_url(server.url)
    bench = Bench(tmp_path / "dom0", server.url, client)
    bench.up()
    try:
        bench.moving()
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        until(lambda: bench.logged("Redis is away") == 1, "the warning")
        bench.go.touch()
        journal = Journal(bench.dom0.settings.state)
        until(lambda: journal.state("r1-s1-a1", BOOT_ID) is AttemptState.ENDED, "the end")
        server.start()
        until(lambda: bench.controller.state("r1-s1-a1") == "ended", "the report of the end")
        until(lambda: bench.logged("redis: all is well again") == 1, "the end of the trouble")
        assert len(bench.dom0.calls("migrate")) == 1
    finally:
        bench.agent.stop()
        client.close()
        server.stop()


def test_it_starts_without_a_server_and_says_once_that_it_is_away(tmp_path: Path) -> None:
    dom0 = Dom0(tmp_path / "dom0", f"unix://{tmp_path}/none.sock")
    agent = Agent(dom0)
    agent.start()
    try:
        until(lambda: "Redis is away" in agent.log.read_text(), "the warning")
        assert agent.process is not None and agent.process.poll() is None
        assert "Traceback" not in agent.log.read_text()
    finally:
        agent.stop()


def test_it_runs_in_a_process_that_was_forked_after_everything_was_loaded(bench: Bench) -> None:
    from agents.__main__ import run_agent

    path = bench.dom0.written()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(bench.agent.log, os.O_WRONLY | os.O_CREAT), 2)
        os._exit(run_agent(path))
    until(lambda: bench.controller.report() is not None, "the first report")
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
