"""A wave or a host from the dashboard: paused, resumed, left out, with a reason and the role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import redis

from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served, small_fleet

PAGE = {"Accept": "text/html"}


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    played.round(played.controller())
    with served(redis_client, played) as made:
        yield made


@contextmanager
def browser(running: Served, role: Role) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=30, headers=PAGE) as client:
        client.post("/login", data={"token": running.tokens[role]})
        yield client


def form(client: httpx.Client, path: str = "/rollouts/xsa-1", **fields: str) -> dict[str, str]:
    text = client.get(path).text
    found = {name: text.split(f'name="{name}" value="', 1)[1].split('"', 1)[0] for name in FIELDS}
    return found | {"reason": "disks look slow"} | fields


FIELDS = ("csrf", "key")


def send(client: httpx.Client, fields: dict[str, str]) -> httpx.Response:
    return client.post("/rollouts/xsa-1/part", data=fields)


def test_a_wave_is_paused_and_resumed_at_once_and_the_page_says_why(running: Served) -> None:
    with browser(running, Role.ON_CALL) as client:
        wave = str(running.played.store.book("xsa-1").hosts["h0"].wave)
        answer = send(client, form(client, action="pause", wave=wave))
        assert (answer.status_code, answer.headers["location"]) == (303, "/rollouts/xsa-1")
        assert f"wave:{wave}" in running.played.store.control("xsa-1")
        text = client.get("/rollouts/xsa-1").text
        assert "disks look slow (by t-on-call)" in text and 'data-action="resume"' in text
        again = send(client, form(client, action="pause", wave=wave))
        assert again.status_code == 409 and "is paused already" in again.text
        assert send(client, form(client, action="resume", wave=wave)).status_code == 303
        assert "disks look slow (by" not in client.get("/rollouts/xsa-1").text
    outcomes = [one["outcome"] for one in running.get("/audit", Role.ADMIN).json()["items"]]
    assert len(outcomes) == 4 and sum(said.startswith("refused") for said in outcomes) == 1


def test_a_host_is_paused_then_left_out_from_its_page(running: Served) -> None:
    with browser(running, Role.ON_CALL) as client:
        assert 'data-action="pause"' in client.get("/hosts/h3").text
        answer = send(client, form(client, "/hosts/h3", action="pause", host="h3"))
        assert answer.headers["location"] == "/hosts/h3"
        assert 'data-action="resume"' in client.get("/hosts/h3").text
        assert send(client, form(client, "/hosts/h3", action="abort", host="h3")).status_code == 303
        controller = running.played.controller()
        while running.played.store.book("xsa-1").hosts["h3"].left_out is None:
            running.played.round(controller)
        said = client.get("/hosts/h3").text
        assert "left out" in said and "data-action" not in said


def test_who_may_not_is_refused_and_sees_no_button(running: Served) -> None:
    with browser(running, Role.VIEWER) as client:
        assert "data-part" not in client.get("/rollouts/xsa-1").text
        assert "data-part" not in client.get("/hosts/h1").text
    with browser(running, Role.ON_CALL) as client:
        good = form(client, action="pause", wave="1")
    with browser(running, Role.VIEWER) as client:
        assert send(client, good).status_code == 403, "of another login"
    with browser(running, Role.ON_CALL) as client:
        approve = send(client, form(client, action="approve", wave="2"))
        assert approve.status_code == 403 and "role security" in approve.text
        answer = client.post(
            "/rollouts/xsa-1/part",
            data=form(client, action="pause", wave="1"),
            headers={"Sec-Fetch-Site": "cross-site"},
        )
        assert answer.status_code == 403
    assert "wave:1" not in running.played.store.control("xsa-1")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "pause"}, 422),
        ({"action": "pause", "wave": "1", "host": "h1"}, 422),
        ({"action": "approve", "host": "h1"}, 422),
        ({"action": "explode", "wave": "1"}, 422),
        ({"action": "pause", "wave": "0"}, 422),
        ({"action": "pause", "wave": "1", "reason": " "}, 422),
        ({"action": "pause", "wave": "77"}, 404),
        ({"action": "pause", "host": "<script>"}, 404),
        ({"action": "resume", "host": "h1"}, 409),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(
    running: Served, fields: dict[str, str], status: int
) -> None:
    before = running.played.store.control("xsa-1")
    with browser(running, Role.ON_CALL) as client:
        answer = send(client, form(client, **fields))
        assert answer.status_code == status and "<script>" not in answer.text.split("</head>")[1]
    assert running.played.store.control("xsa-1") == before


def test_while_a_left_out_hosts_moves_end_the_page_says_that_the_rest_waits_for_them(
    running: Served,
) -> None:
    played = running.played
    controller = played.controller()
    while not (moves := list(played.store.book("xsa-1").running())):
        played.round(controller, step_s=0.5)
    source, guest = moves[0].host, moves[0].guest
    with browser(running, Role.ON_CALL) as client:
        fields = form(client, action="abort", host=source)
        assert send(client, fields).status_code == 303
        played.round(controller, step_s=0.5)
        text = client.get("/rollouts/xsa-1").text
    assert f"it is planned anew once this has ended: move of {guest} is" in text
    assert f"{source} was left out: disks look slow" in text
