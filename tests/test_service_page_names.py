"""The pages of a fleet whose names mean harm, and of reports that cannot be read."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis

from agents.keys import keys
from scheduler.rollout import Happening
from scheduler.service.access import Role
from tests.hostile import THAT_FIT as HOSTILE
from tests.service_kit import Served, just_begun, logged_in
from tests.sim import START


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


@pytest.fixture
def harmed(running: Served) -> Served:
    """The same fleet, where h0 shows guests with hostile names, and the event log has them too."""
    played = running.played
    report = played.sim.report_of(played.sim.hosts["h0"])
    model = report.guests[0]
    guests = tuple(
        model.model_copy(update={"name": name, "guest_class": name, "state": name[:6]})
        for name in HOSTILE
    )
    changed = report.model_copy(
        update={"guests": guests, "trouble": (HOSTILE[0],), "xen_version": HOSTILE[3]}
    )
    played.client.set(keys.report("h0"), changed.model_dump_json())
    for name in (*HOSTILE, "y" * 10_000):
        line = Happening(at=START, kind="crashed", text=f"guest {name}", guest=name)
        played.client.xadd("xr:rollout:xsa-1:events", {"h": line.model_dump_json()})
    book = played.store.book("xsa-1")
    step = next(iter(book.steps.values()))
    hurt = step.model_copy(update={"guest": HOSTILE[0], "reason": HOSTILE[3], "host": "h0"})
    played.client.hset("xr:rollout:xsa-1:steps", step.id, hurt.model_dump_json())
    return running


def test_markup_in_names_is_escaped_in_markdown(harmed: Served) -> None:
    with logged_in(harmed, Role.VIEWER) as client:
        text = client.get("/rollouts/xsa-1/report.md").text
    assert "\\<script\\>" in text and "<script>" not in text and "\x1b[31m" not in text


def assert_harmless(text: str) -> None:
    """No markup, no control character, and nothing that was computed."""
    for bad in ("<script>alert", "<img src=x", "\x1b", "\x07", "\u202e", "y" * 1000):
        assert bad not in text, bad
    assert "49$" not in text


def test_hostile_names_are_harmless_on_every_page(harmed: Served) -> None:
    with logged_in(harmed, Role.ADMIN) as client:
        paths = ["/", "/rollouts/xsa-1", "/rollouts/xsa-1/live", "/rollouts/xsa-1/plan"]
        paths += ["/rollouts/xsa-1/report"]
        paths += ["/hosts", "/hosts/h0", *(f"/guests/{quote(name, safe='')}" for name in HOSTILE)]
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert_harmless(answer.text)
        shown = client.get("/hosts/h0").text
        assert html.escape(HOSTILE[0], quote=False) in shown.replace("&#34;", '"')
        assert "\\x1b[31mred" in shown


def test_hostile_names_travel_whole_through_the_api(harmed: Served) -> None:
    for name in HOSTILE:
        (found,) = harmed.get(f"/guests/{quote(name, safe='')}").json()
        assert found["name"] == name and found["host"] == "h0"
    raw = harmed.get("/guests", limit=1000).content
    assert b"\x1b" not in raw and b"\n" not in raw


def test_a_hostile_path_is_answered_and_never_echoed(running: Served) -> None:
    with logged_in(running, Role.VIEWER) as client:
        for name in (*HOSTILE, "z" * 900, "%ff%fe", "%00"):
            path = name if name.startswith("%") else quote(name, safe="")
            for folder in ("guests", "hosts", "rollouts"):
                answer = client.get(f"/{folder}/{path}")
                assert answer.status_code in (404, 422), answer.text
                assert_harmless(answer.text)
            api = running.get(f"/guests/{path}")
            assert api.status_code in (404, 422) and b"\x1b" not in api.content


def test_a_report_that_cannot_be_read_shows_as_trouble(running: Served) -> None:
    bad: Any = (b"\xff\xfe{", b'{"host": "h1"}', b"[]", b"null")
    with logged_in(running, Role.VIEWER) as client:
        for raw in bad:
            running.played.client.set(keys.report("h1"), raw)
            assert "cannot be read" in running.get("/hosts/h1").json()["trouble"]
            assert "cannot be read" in client.get("/hosts").text
