"""The report: what happened since, is under way, is held, was decided, comes next."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
import redis

from agents.wire import Wanted
from scheduler.advisory import Advisory
from scheduler.service.access import Role
from scheduler.since import SinceError, since
from scheduler.wishes import Part, say_dead, wish
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served, small_fleet
from tests.sim import NEW, START

PATH = "/rollouts/xsa-1/report"


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout half way, that somebody paused and resumed; one guest crashed, one refuses."""
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes", "g2": "refuses"})
    owners = {"g2": "shop"}
    entries = tuple(
        one.model_copy(update={"owner": owners.get(one.name, "")})
        for one in played.sim.inventory.guests
    )
    played.sim.inventory = played.sim.inventory.model_copy(update={"guests": entries})
    deadline = START + timedelta(hours=3)
    begun(played, Advisory(id="XSA-1", fixed_builds=(NEW,), deadline=deadline))
    controller = played.controller()
    for _ in range(20):
        played.round(controller)
    played.want(Wanted.PAUSE)
    played.round(controller)
    played.want(Wanted.RUN)
    while not played.store.book("xsa-1").hosts["h0"].reboots:
        played.round(controller)
    with served(redis_client, played) as made:
        yield made


def test_it_says_what_happened_who_decided_and_what_comes_next(running: Served) -> None:
    said = running.get(PATH).json()
    book = running.played.store.book("xsa-1")
    moved = [s for s in book.steps.values() if s.outcome == "moved" and s.kind == "move"]
    assert said["since"] is None and said["happened"]["moves"] == len(moved) > 0
    assert said["happened"]["hosts_fixed"] >= 1
    assert [one["kind"] for one in said["decisions"]] == ["created", "paused", "resumed"]
    assert said["decisions"][1]["text"] == "by on-call: asked"
    assert len(said["under_way"]) == len(book.under_way)
    waiting = {h.name for h in book.hosts.values() if h.state == "waiting"}
    assert {one["host"] for one in said["next_hosts"]} <= waiting
    assert said["hosts_left"] == 4 - said["hosts"].get("fixed", 0) - said["hosts"].get("blocked", 0)
    assert said["deadline"].startswith("2026-11-23T01:00") and said["moves"] == len(moved) + len(
        said["crashed"]
    )


def test_since_a_moment_only_what_happened_after_it_counts(running: Served) -> None:
    whole = running.get(PATH).json()
    now = running.played.clock.now()
    late = running.get(PATH, since=(now + timedelta(seconds=1)).isoformat()).json()
    assert late["happened"] == {
        "moves": 0,
        "hosts_fixed": 0,
        "restarted": 0,
        "crashed": [],
        "stayed": 0,
        "newly_blocked": [],
    }
    assert late["lines"] == late["decisions"] == []
    assert late["moves"] == whole["moves"], "the figures of the whole rollout stay"
    middle = running.get(PATH, since=(START + timedelta(seconds=101)).isoformat()).json()
    assert [one["kind"] for one in middle["decisions"]] == ["resumed"]
    assert 0 < middle["happened"]["moves"] < whole["happened"]["moves"]


def test_who_left_a_host_out_and_who_said_that_one_is_dead_is_among_the_decisions(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    controller = played.controller()
    played.round(controller)
    wish(played.store, "xsa-1", Part(host="h3"), Wanted.ABORT, "anna", "DIMM", played.clock.now())
    played.round(controller)
    played.mute = {"h2"}
    while not played.store.book("xsa-1").hosts["h2"].silent:
        played.round(controller)
    say_dead(played.store, "xsa-1", "h2", "ben", "fenced", played.clock.now())
    played.round(controller)
    with served(redis_client, played) as made:
        told = [line["text"] for line in made.get(PATH).json()["decisions"]]
    assert told[1:] == ["h3 by anna: DIMM", "h2 is dead, says ben: fenced"]


def test_at_the_end_nothing_comes_next_and_what_is_held_has_its_owner(running: Served) -> None:
    running.played.run(running.played.controller())
    said = running.get(PATH).json()
    assert said["state"] == "done" and said["next_hosts"] == said["under_way"] == []
    assert said["ends_p50_at"] is None
    owners = {one["guest"]: one["owner"] for one in said["held_now"]}
    assert owners["g2"] == "shop" and said["happened"]["crashed"] == ["g1"]
    assert said["happened"]["stayed"] == said["stayed"] > 0
    assert running.get(PATH, since=START.isoformat()).json()["happened"]["stayed"] == said["stayed"]


def test_a_guest_that_was_restarted_with_its_host_keeps_nobody_busy(
    redis_client: redis.Redis,
) -> None:
    """It refused to move, its owner had agreed to that: nothing is left for a person to do."""
    played = RedisFleet(redis_client, small_fleet(), faults={"g2": "refuses"})
    agreed = {"if_refused": "restart"}
    entries = [
        one.model_copy(update=agreed if one.name == "g2" else {})
        for one in played.sim.inventory.guests
    ]
    played.sim.inventory = played.sim.inventory.model_copy(update={"guests": tuple(entries)})
    begun(played)
    played.run(played.controller())
    with served(redis_client, played) as made:
        said = made.get(PATH).json()
    assert said["state"] == "done" and set(said["hosts"]) == {"fixed"}
    assert "g2" in said["restarted"] and list(said["given_up"]) == ["g2"]
    assert said["held_now"] == []


def test_as_markdown_it_has_a_chapter_for_each_question(running: Served) -> None:
    answer = running.get(PATH, format="md", since="2026-11-22T22:00:01Z")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    chapters = re.findall(r"^## (.*)$", answer.text, re.MULTILINE)
    assert chapters[0] == "Since 2026-11-22 22:00 UTC"
    assert {"Who decided what", "What happened"} <= set(chapters)
    assert "- moves: " in answer.text and "by on-call: asked" in answer.text


class Checker(HTMLParser):
    """Which elements there are, and what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        target = given.get("src") or (given.get("href") if tag == "link" else None)
        self.loads += [target] if target and not target.startswith("data:") else []


def test_as_html_it_is_one_file_with_plots_and_no_script(running: Served) -> None:
    answer = running.get(PATH, format="html")
    found = Checker()
    found.feed(answer.text)
    assert found.loads == [] and "script" not in found.seen
    assert found.seen.count("svg") == 3 and "polyline" in found.seen and "rect" in found.seen
    assert "sha256-" in answer.headers["content-security-policy"]
    assert "url(" not in answer.text and "@import" not in answer.text
    points = re.search(r'<polyline class="hosts" points="([^"]+)"', answer.text)
    assert points is not None
    ys = [float(pair.split(",")[1]) for pair in points[1].split()]
    assert ys == sorted(ys) and ys[0] < ys[-1], "exposure only falls"


def test_bad_questions_are_named(running: Served) -> None:
    for name, value in (("format", "pdf"), ("since", "yore")):
        answer = running.get(f"{PATH}?{name}={value}")
        assert answer.status_code == 422
        assert [one["name"] for one in answer.json()["details"]] == [f"query.{name}"]
    assert running.get("/rollouts/none/report", format="html").status_code == 404
    assert running.get(PATH, role=None).status_code == 401
    assert running.get(PATH, Role.VIEWER, format="md").status_code == 200


def test_the_command_prints_each_form(running: Served, redis_url: str) -> None:
    def say(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", "report", *words],
            env={**os.environ, "XENROLL_REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    code, text, _ = say()
    assert code == 0 and text.startswith("# XSA-1: rollout xsa-1, running\n")
    code, text, _ = say("xsa-1", "-o", "html", "--since", "2026-11-22T22:00")
    assert code == 0 and text.startswith("<!doctype html>") and "<svg" in text
    code, text, _ = say("-o", "json")
    assert code == 0 and json.loads(text)["id"] == "xsa-1"
    code, _, said = say("--since", "whenever")
    assert (code, said.count("\n")) == (2, 1) and "expected 2h, 30m, 22:00 (UTC)" in said
    assert say("nothing")[0] == 8


def test_since_when_is_understood_as_people_say_it() -> None:
    now = datetime(2026, 11, 23, 3, 20, 5, tzinfo=UTC)
    assert since("2h", now) == now - timedelta(hours=2)
    assert since("45m", now) == now - timedelta(minutes=45)
    assert since("22:00", now) == datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
    assert since("03:00", now) == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    assert since("2026-11-22T20:00", now) == datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
    assert since("2026-11-22T20:00+02:00", now) == datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    for wrong in ("", "25:00", "2 hours", "22:0", "tomorrow"):
        with pytest.raises(SinceError, match="expected 2h"):
            since(wrong, now)
