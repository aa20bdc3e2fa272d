"""Forecasts take seconds of computing: whoever asks for anything else does not wait for them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
import redis

from scheduler.forecast import Forecast
from scheduler.forecast_pause import PauseCost
from scheduler.service.access import Role
from scheduler.service.forecaster import Forecaster
from scheduler.service.forecaster_process import ForecasterProcess
from scheduler.service.forecasts import ForecasterLost
from scheduler.store import NoRollout
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served, small_fleet
from tests.waiting import until

MORE_THAN_THREADS = 60
"""The service answers with forty threads at most."""


class HeldUp:
    """Makes forecasts when it is told to, and counts them."""

    def __init__(self, played: RedisFleet) -> None:
        self._really = Forecaster(played.store, played.clock, print, waits=True)
        self.may_go_on = threading.Event()
        self.asked = threading.Semaphore(0)
        self.count = 0
        self.broken = False

    def forecast(self, rollout_id: str) -> Forecast:
        self.asked.release()
        assert self.may_go_on.wait(60)
        self.count += 1
        if self.broken:
            raise ForecasterLost("a test broke it")
        return self._really.forecast(rollout_id)

    def pause_cost(self, rollout_id: str, for_s: float) -> PauseCost:
        return self._really.pause_cost(rollout_id, for_s)

    def stop(self) -> None:
        self.may_go_on.set()


@contextmanager
def held_up(client: redis.Redis, log: list[str] | None = None) -> Iterator[tuple[Served, HeldUp]]:
    played = RedisFleet(client, small_fleet())
    begun(played)
    slow = HeldUp(played)
    with served(client, played, max_age_s=1.0, log=log, foretells=slow) as running:
        yield running, slow


def ask(running: Served) -> httpx.Response:
    return running.get("/rollouts/xsa-1/forecast")


def test_a_pause_is_acknowledged_while_sixty_dashboards_wait_for_a_forecast(
    redis_client: redis.Redis,
) -> None:
    with (
        held_up(redis_client) as (running, slow),
        ThreadPoolExecutor(MORE_THAN_THREADS) as browsers,
    ):
        waiting = [browsers.submit(ask, running) for _ in range(MORE_THAN_THREADS)]
        assert slow.asked.acquire(timeout=60)
        paused = running.post("/rollouts/xsa-1/actions/pause")
        assert paused.status_code == 202
        assert not any(one.done() for one in waiting)
        slow.may_go_on.set()
        assert {one.result().status_code for one in waiting} == {200}
        assert slow.count == 1


def test_while_a_newer_one_is_made_the_one_that_is_there_is_given(
    redis_client: redis.Redis,
) -> None:
    with held_up(redis_client) as (running, slow):
        slow.may_go_on.set()
        first = ask(running).json()
        assert slow.asked.acquire(timeout=60)
        slow.may_go_on.clear()
        running.played.pass_time(60)
        assert [ask(running).json() for _ in range(3)] == [first] * 3
        assert slow.asked.acquire(timeout=60)
        slow.may_go_on.set()
        until(lambda: ask(running).json() != first, "the newer one is given")
        assert ask(running).json()["made_at"] > first["made_at"] and slow.count == 2


def test_where_none_can_be_made_the_answer_says_so_and_the_next_question_tries_again(
    redis_client: redis.Redis,
) -> None:
    log: list[str] = []
    with held_up(redis_client, log) as (running, slow):
        slow.may_go_on.set()
        slow.broken = True
        answer = ask(running)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_forecast")
        assert log == ["no forecast of xsa-1: ForecasterLost: a test broke it"]
        slow.broken = False
        assert ask(running).status_code == 200
        unknown = running.get("/rollouts/xsa-9/forecast")
        assert unknown.status_code == 404 and len(log) == 1


@pytest.fixture
def played(
    redis_client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> RedisFleet:
    made = RedisFleet(redis_client, small_fleet())
    begun(made)
    monkeypatch.setenv("XENROLL_REDIS_URL", redis_url)
    return made


@pytest.fixture
def process() -> Iterator[ForecasterProcess]:
    made = ForecasterProcess()
    yield made
    made.stop()


def test_the_process_says_what_this_process_would(
    played: RedisFleet, process: ForecasterProcess
) -> None:
    here = Forecaster(played.store, played.clock, print, waits=True)
    said, expected = process.forecast("xsa-1"), here.forecast("xsa-1")
    assert (said.moves_left, said.reboots_left) == (expected.moves_left, expected.reboots_left)
    assert said.guest_hours_to_come is not None and said.remedies
    assert process.pause_cost("xsa-1", 60.0).for_s == 60.0
    with pytest.raises(NoRollout, match="xsa-2"):
        process.forecast("xsa-2")


def test_a_process_that_was_killed_is_started_again(
    played: RedisFleet, process: ForecasterProcess
) -> None:
    process.forecast("xsa-1")
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert process.forecast("xsa-1").rollout == "xsa-1"
    assert process.pid not in (None, first)


def test_a_store_that_is_away_is_told_and_the_process_ends_when_it_is_told_to(
    played: RedisFleet, process: ForecasterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENROLL_REDIS_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(redis.ConnectionError, match="does not answer"):
        process.forecast("xsa-1")
    monkeypatch.undo()
    process.stop()
    assert process.pid is None
    with pytest.raises(ForecasterLost):
        process.forecast("xsa-1")


def test_the_page_of_a_pause_says_its_cost_through_the_process(
    played: RedisFleet, process: ForecasterProcess, redis_client: redis.Redis
) -> None:
    with (
        served(redis_client, played, foretells=process) as running,
        httpx.Client(base_url=running.url, timeout=60) as browser,
    ):
        browser.post("/login", data={"token": running.tokens[Role.VIEWER]})
        page = browser.get("/rollouts/xsa-1/pause-cost?for_s=600")
        assert page.status_code == 200 and "later" in page.text
        missing = browser.get("/rollouts/xsa-9/pause-cost", headers={"Accept": "text/html"})
        assert missing.status_code == 404
