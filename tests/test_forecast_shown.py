"""A forecast that waits for somebody says so wherever it is shown: terminal, JSON, page, report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import httpx
import pytest
import redis
from rich.console import Console

from agents.wire import Wanted
from scheduler.forecast import Asked, forecast
from scheduler.forecast_assumed import assumed
from scheduler.forecast_pause import PauseCost, pause_cost
from scheduler.gates import GatePolicy
from scheduler.progress import progress
from scheduler.service.access import Role
from scheduler.show_forecast import render
from scheduler.show_pause import lines
from scheduler.show_screen import headline, plain_line
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, served

APPROVAL = "waves 2, 3 need approval; assuming approval now"
PAUSED = "its end cannot be told while paused; assuming that it is resumed now"


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout of three waves that need approval, paused half a minute after its begin."""
    hosts = [host(f"h{n}", gib=16) for n in range(5)]
    guests = [guest(f"g{n}", f"h{n}", gib=2) for n in range(5)]
    seen = fleet(hosts, guests, canary_hosts=1, gates="every", wave_hosts=2, max_hosts_away=2)
    played = RedisFleet(redis_client, seen, gates=GatePolicy(approval=True, soak_s=600))
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.begin()
    controller = played.controller()
    for _ in range(6):
        played.round(controller)
    played.want(Wanted.PAUSE)
    played.round(controller)
    with served(redis_client, played) as made:
        yield made


def test_the_terminal_says_what_is_assumed(running: Served) -> None:
    book = running.played.store.book("xsa-1")
    now = running.played.clock.now()
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(forecast(book, now, Asked(runs=50))))
    printed = console.export_text()
    assert APPROVAL in printed and PAUSED in printed
    shown = progress(book, now)
    assert headline(shown).plain.count("if resumed and approved now") == 1
    assert "if resumed and approved now" in plain_line(shown)
    cost = list(lines(pause_cost(book, now, 600.0, Asked(runs=50))))
    assert cost[-1] == APPROVAL and not any("cannot be told" in line for line in cost)


def test_programs_get_it_as_rows(running: Served) -> None:
    said = running.get("/rollouts/xsa-1/forecast").json()
    rows = {one["what"]: (one["waits_for"], one["text"]) for one in said["assuming"]}
    assert rows["waves 2, 3"] == ("approval", APPROVAL)
    assert rows["rollout"][0] == "resume" and rows["rollout"][1].endswith(PAUSED)
    outlook = running.get("/rollouts/xsa-1/progress").json()["outlook"]
    assert outlook["assuming"] == said["assuming"]
    cost = running.get("/rollouts/xsa-1/pause-cost", for_s=600).json()
    assert [one["waits_for"] for one in cost["assuming"]] == ["approval"]


def test_the_page_and_the_report_say_it_beside_the_time_left(running: Served) -> None:
    with httpx.Client(base_url=running.url, timeout=30, follow_redirects=True) as client:
        client.post("/login", data={"token": running.tokens[Role.VIEWER], "next": "/rollouts"})
        page = client.get("/rollouts/xsa-1", headers={"Accept": "text/html"}).text
    assert '<small id="provided">if resumed and approved now</small>' in page
    report = running.get("/rollouts/xsa-1/report", format="md").text
    assert "(if resumed and approved now)" in report


def test_when_nothing_waits_for_anybody_nothing_is_said(running: Served) -> None:
    played = running.played
    played.want(Wanted.RUN)
    head = played.store.book("xsa-1")
    free = head.rollout.model_copy(update={"gates": GatePolicy(soak_s=600)})
    head.rollout = free.model_copy(update={"state": "running"})
    assert assumed(head) == ()
    later = progress(head, played.clock.now() + timedelta(seconds=1))
    assert "if " not in plain_line(later)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (timedelta(minutes=40), "with it p90, 23:40, is past the deadline, 23:00 UTC"),
        (
            timedelta(days=7),
            "with it p90, 2026-11-29 23:00, is past the deadline, 2026-11-22 23:00 UTC",
        ),
    ],
)
def test_a_pause_that_leads_into_another_day_says_into_which(later: timedelta, words: str) -> None:
    deadline = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    cost = PauseCost(
        for_s=3600,
        p50_later_s=later.total_seconds(),
        p90_later_s=later.total_seconds(),
        p90_at=deadline + later,
        deadline=deadline,
        makes_late=True,
        half_drained=(),
        closed=0,
        down=(),
    )
    assert list(lines(cost))[1] == words
