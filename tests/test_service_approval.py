"""A rollout that waits for a word before it begins: of anybody who may, or of a second person."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
import redis

from agents.wire import Wanted
from scheduler.advance import Tick, Wants, advance
from scheduler.control import Controller
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, refused, served, small_fleet
from tests.sim import NEW
from tests.test_cli_rollout import said, xenroll

START = {"advisory": "XSA-7", "fixed_builds": [NEW], **REASON}
ACTIONS = "/rollouts/xsa-7/actions"


@contextmanager
def looking(played: RedisFleet) -> Iterator[None]:
    """Hosts that look as soon as they are asked to."""
    ending = threading.Event()

    def look() -> None:
        while not ending.wait(0.05):
            played.clock.time += timedelta(seconds=1)
            played.publish()

    hosts = threading.Thread(target=look)
    hosts.start()
    try:
        yield
    finally:
        ending.set()
        hosts.join()


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    played = RedisFleet(redis_client, small_fleet())
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.publish()
    return played


@contextmanager
def started(played: RedisFleet, two_people: bool, **more: object) -> Iterator[Served]:
    """A service, and a rollout that t-security asked for."""
    with served(played.client, played, look_wait_s=60.0, two_people=two_people) as running:
        with looking(played):
            answer = running.post("/rollouts", START | more, role=Role.SECURITY)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "awaiting"
        assert answer.json()["second_person"] is two_people
        yield running


def nothing_happens(played: RedisFleet, controller: Controller) -> None:
    """Rounds in which no step is ordered and no host is closed."""
    for _ in range(5):
        played.round(controller)
    book = played.store.book("xsa-7")
    assert book.rollout.state is RolloutState.AWAITING
    assert {step.attempt for step in book.steps.values()} == {0}
    assert {host.state for host in book.hosts.values()} == {HostState.WAITING}
    assert not any(host.closed for host in book.hosts.values())
    assert played.store.control("xsa-7")["wanted"] == Wanted.PAUSE


def test_where_two_people_are_needed_nothing_begins_before_a_second_one_approves(
    played: RedisFleet,
) -> None:
    with started(played, two_people=True) as running:
        controller = played.controller()
        nothing_happens(played, controller)
        for action in ("start", "resume", "pause"):
            answer = running.post(f"{ACTIONS}/{action}", role=Role.SECURITY)
            refused(answer, 409, "needs_approval" if action == "start" else "awaiting", "awaiting")
        own = running.post(f"{ACTIONS}/approve", role=Role.SECURITY)
        refused(own, 409, "same_person", "t-security", "somebody else")
        refused(running.post(f"{ACTIONS}/approve"), 403, "forbidden", "role security")
        nothing_happens(played, controller)
        answer = running.post(f"{ACTIONS}/approve", role=Role.ADMIN)
        assert answer.status_code == 202, answer.text
        played.run(played.controller())
        head = running.get("/rollouts/xsa-7").json()
        assert (head["state"], head["approved_by"]) == ("done", "t-admin")
        trail = running.get("/audit", Role.ADMIN).json()["items"][::-1]
        assert [(one["who"], one["action"], one["outcome"][:7]) for one in trail] == [
            ("t-security", "start", "asked"),
            ("t-security", "start", "asked"),
            ("t-security", "start", "refused"),
            ("t-security", "approve", "asked"),
            ("t-security", "approve", "refused"),
            ("t-admin", "approve", "asked"),
        ]
        again = running.post(f"{ACTIONS}/approve", role=Role.ADMIN)
        refused(again, 409, "ended", "done")


def test_a_rollout_that_only_waits_is_started_by_who_made_it(played: RedisFleet) -> None:
    with started(played, two_people=False, wait=True) as running:
        controller = played.controller()
        nothing_happens(played, controller)
        answer = running.post(f"{ACTIONS}/approve", role=Role.ADMIN)
        refused(answer, 409, "needs_none", "start it")
        refused(running.post(f"{ACTIONS}/start"), 403, "forbidden", "role security")
        assert running.post(f"{ACTIONS}/start", role=Role.SECURITY).status_code == 202
        played.round(controller)
        assert played.head().state is RolloutState.RUNNING
        answer = running.post(f"{ACTIONS}/start", role=Role.SECURITY)
        refused(answer, 409, "not_awaiting", "running")


def test_one_that_waits_can_be_aborted_and_then_nothing_has_happened(played: RedisFleet) -> None:
    with started(played, two_people=True) as running:
        assert running.post(f"{ACTIONS}/abort").status_code == 202
        controller = played.controller()
        for _ in range(3):
            played.round(controller)
        assert played.head().state is RolloutState.ABORTED
        assert {step.attempt for step in played.store.book("xsa-7").steps.values()} == {0}
        assert played.store.owners() == {}


def test_no_other_way_of_writing_a_wish_lets_its_maker_approve(played: RedisFleet) -> None:
    with started(played, two_people=True):
        book = played.store.book("xsa-7")
        now = played.clock.now()
        own = Wants(now, Wanted.RUN, 1, "t-security", "past every check")
        assert not advance(book, own, Limits())
        assert not advance(book, Wants(now, Wanted.PAUSE, 1, "anybody", "x"), Limits())
        assert not advance(book, Tick(now, played.controller().desk), Limits())
        other = advance(book, Wants(now, Wanted.RUN, 1, "t-admin", "seen"), Limits())
        assert other.rollout is not None and other.rollout.state is RolloutState.RUNNING
        assert played.store.want("xsa-7", Wanted.RUN, "t-security", "by hand", now)
        controller = played.controller()
        for _ in range(3):
            played.round(controller)
        assert played.head().state is RolloutState.AWAITING
        assert played.store.want("xsa-7", Wanted.RUN, "t-admin", "seen", now)
        played.round(controller)
        assert played.head().state is RolloutState.RUNNING


@pytest.mark.parametrize("spelt", ["T-Security", "t-security ", "\uff54-security"])
def test_one_person_under_a_name_that_is_spelt_differently_is_no_second_one(
    played: RedisFleet, spelt: str
) -> None:
    """As an identity provider may spell who has a token of ours, too."""
    with started(played, two_people=True) as running:
        own = Wants(played.clock.now(), Wanted.RUN, 1, spelt, "past every check")
        assert not advance(played.store.book("xsa-7"), own, Limits())
        now, tokens = played.clock.now(), running.service.tokens
        name = spelt if spelt == "T-Security" else "t-SECURITY"
        running.tokens[Role.ADMIN] = tokens.create(
            name, Role.ADMIN, "test", now, now + timedelta(days=1)
        )
        again = running.post(f"{ACTIONS}/approve", role=Role.ADMIN)
        refused(again, 409, "same_person", name, "somebody else")


def test_the_commands_say_who_has_to_do_what(played: RedisFleet, redis_url: str) -> None:
    start = ["rollout", "start", "XSA-7", "--fixed-build", NEW, "--reason", "tonight"]
    two = {"XENROLL_TWO_PEOPLE": "true", "SUDO_USER": "anna"}
    with looking(played):
        result = xenroll(redis_url, *start, **two)
    said(result, 0, "waits, nothing has begun", "somebody else: xenroll rollout approve xsa-7")
    approve = ["rollout", "approve", "xsa-7", "--reason", "looked at it"]
    said(xenroll(redis_url, *approve, SUDO_USER="anna"), 1, "anna started", "somebody else")
    said(xenroll(redis_url, "rollout", "begin"), 1, "needs to be approved")
    said(xenroll(redis_url, "rollout", "status"), 0, "awaiting")
    said(xenroll(redis_url, *approve, SUDO_USER="bert"), 0, "rollout xsa-7 is approved")
    played.round(played.controller())
    shown = json.loads(xenroll(redis_url, "rollout", "list", "-o", "json").stdout)
    assert (shown[0]["state"], shown[0]["approved_by"]) == ("running", "bert")


def test_a_page_cannot_be_used_to_get_round_the_role(played: RedisFleet) -> None:
    with (
        started(played, two_people=True) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        client.post("/login", data={"token": running.tokens[Role.ON_CALL]})
        page = client.get("/rollouts/xsa-7", headers={"Accept": "text/html"})
        assert page.status_code == 200 and "awaiting" in page.text
        assert 'data-ask="approve"' not in page.text and 'data-ask="resume"' not in page.text
        csrf = page.text.split('name="csrf" value="')[1].split('"')[0]
        client.post("/login", data={"token": running.tokens[Role.ADMIN]})
        shown = client.get("/rollouts/xsa-7", headers={"Accept": "text/html"}).text
        assert 'data-ask="approve"' in shown and 'data-ask="start"' not in shown
        client.post("/login", data={"token": running.tokens[Role.ON_CALL]})
        page = client.get("/rollouts/xsa-7", headers={"Accept": "text/html"})
        csrf = page.text.split('name="csrf" value="')[1].split('"')[0]
        form = {"action": "approve", "csrf": csrf, "key": "key-of-page", **REASON}
        assert client.post("/rollouts/xsa-7/act", data=form).status_code == 403
    assert played.store.control("xsa-7")["wanted"] == Wanted.PAUSE
