"""The live feed: everything that happens arrives once, also after a broken connection."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduler.embedded import EmbeddedServer
from scheduler.rollout import Happening
from scheduler.service import api_events
from scheduler.service import feed as feed_module
from scheduler.service.access import TOKENS_KEY, Role
from scheduler.service.feed import Feed, LiveEvent, order_of
from scheduler.store import Store
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, just_begun, served, small_fleet
from tests.sim import START
from tests.waiting import until


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


@contextmanager
def following(running: Served, **query: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Events as they arrive; the last id goes into the header, as browsers send it."""
    place = query.pop("last_event_id", None)
    headers = {"Last-Event-ID": place} if place else {}
    with (
        running.client(Role.VIEWER, **headers) as client,
        client.stream("GET", "/events", params=query) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": follows"
        yield events(lines)


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The data of each event, checked against its id."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name] = value
        if not line and "data" in fields:
            said = json.loads(fields["data"])
            assert said["id"] == fields["id"] and fields["event"] == "happening"
            yield said
            fields = {}


def logged(running: Served, rollout: str = "xsa-1") -> list[str]:
    """The ids of everything in a rollout's event log."""
    page = running.get(f"/rollouts/{rollout}/events", limit=1000).json()
    return [one["id"] for one in page["items"]]


def say(client: redis.Redis, rollout: str, text: str, name: str = "*") -> str:
    """One more line in a rollout's event log."""
    line = Happening(at=START, kind="test", text=text).model_dump_json()
    client.zadd("xr:rollouts", {rollout: 1.0})
    added: Any = client.xadd(f"xr:rollout:{rollout}:events", {"h": line}, id=name)
    return f"{added.decode()}.{rollout}"


def test_everything_that_happens_arrives_in_order(running: Served) -> None:
    before = len(logged(running))
    controller = running.played.controller()
    with following(running) as arrives:
        for _ in range(20):
            running.played.round(controller)
        expected = logged(running)[before:]
        assert len(expected) >= 5
        assert [next(arrives)["id"] for _ in expected] == expected


def test_who_comes_back_gets_what_was_missed_and_nothing_twice(running: Served) -> None:
    controller = running.played.controller()
    for _ in range(10):
        running.played.round(controller)
    known = logged(running)
    with following(running, last_event_id=known[2]) as arrives:
        while len(logged(running)) < len(known) + 3:
            running.played.round(controller, 20.0)
        expected = logged(running)[3:]
        assert [next(arrives)["id"] for _ in expected] == expected
    with following(running, since=known[-1]) as arrives:
        assert next(arrives)["id"] == expected[len(known) - 3]


def test_one_rollout_can_be_followed_alone(running: Served) -> None:
    client = running.played.client
    with following(running, rollout="xsa-1") as arrives:
        say(client, "other", "not for us")
        mine = say(client, "xsa-1", "for us")
        assert next(arrives)["id"] == mine


def test_two_rollouts_with_the_same_id_lose_nothing(running: Served) -> None:
    client = running.played.client
    first = say(client, "aaa", "one", "9999999999990-0")
    second = say(client, "bbb", "two", "9999999999990-0")
    for place, missed in ((first, second), (second, first)):
        with following(running, last_event_id=place) as arrives:
            assert next(arrives)["id"] == missed


def test_a_long_absence_is_caught_up_in_parts(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "CATCH_UP", 3)
    client = running.played.client
    start = logged(running)[-1]
    said = [say(client, f"r{n % 3}", f"line {n}") for n in range(40)]
    with following(running, last_event_id=start) as arrives:
        found = [next(arrives)["id"] for _ in said]
    assert found == sorted(said, key=order_of)


def test_a_quiet_feed_gives_a_sign_of_life(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "QUIET_S", 0.01)
    with running.client() as client, client.stream("GET", "/events") as answer:
        assert ": nothing new" in answer.iter_lines()


def test_a_new_rollout_is_followed_from_its_first_event(running: Served) -> None:
    with following(running) as arrives:
        mine = say(running.played.client, "new-one", "it begins")
        assert next(arrives)["id"] == mine


def test_the_first_rollout_of_all_is_followed_from_its_first_event(
    redis_client: redis.Redis,
) -> None:
    with (
        served(redis_client, RedisFleet(redis_client, small_fleet())) as running,
        following(running) as arrives,
    ):
        mine = say(redis_client, "xsa-1", "it begins")
        assert next(arrives)["id"] == mine


def test_what_happens_before_the_reader_has_begun_to_read_is_told(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read, follow = threading.Event(), Feed._follow

    def late(feed: Feed, *places: Any) -> None:
        assert may_read.wait(60)
        follow(feed, *places)

    monkeypatch.setattr(Feed, "_follow", late)
    say(redis_client, "xsa-1", "history")
    with (
        served(redis_client, RedisFleet(redis_client, small_fleet())) as running,
        following(running) as arrives,
    ):
        mine = say(redis_client, "xsa-1", "news")
        may_read.set()
        assert next(arrives)["id"] == mine


def test_an_id_that_is_none_is_refused(running: Served) -> None:
    for wrong in ("x", "1-1", "1-1.", "-1-1.x", "1" * 200, "9" * 25 + "-0.x", f"{2**64}-0.x"):
        answer = running.get("/events", since=wrong)
        assert answer.status_code == 422 and answer.json()["code"] == "invalid", wrong
    assert running.get("/events", None).status_code == 401


def test_a_rollout_that_is_not_there_cannot_be_followed(running: Served) -> None:
    answer = running.get("/events", rollout="xsa-2")
    assert answer.status_code == 404 and "xsa-2" in answer.json()["detail"]


def test_who_follows_while_the_server_is_away_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    with redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        feed = Feed(Store(client, "test"), lambda line: None)
        server.stop()

        async def said() -> list[str]:
            lines = api_events._lines(feed, "0-0.xsa-1", None, lambda: True)
            return [line async for line in lines]

        assert [line[:9] for line in asyncio.run(said())] == [": follows"]


def test_a_listener_that_lags_is_cut_off_and_can_come_back(redis_client: redis.Redis) -> None:
    import asyncio

    store = Store(redis_client, "test")
    feed = Feed(store, print)
    first = say(redis_client, "xsa-1", "zero")

    async def lag() -> list[str]:
        said = [say(redis_client, "xsa-1", "one")]
        with feed.listening(None) as listener:
            follower = feed.events(listener, first)
            first_event = await anext(follower)
            assert first_event is not None
            got = [first_event.id]
            assert got == said
            for n in range(feed_module.QUEUE + 2):
                said.append(say(redis_client, "xsa-1", f"line {n}"))
            happening = Happening(at=START, kind="test", text="")
            feed._spread(
                LiveEvent(id=name, rollout="xsa-1", happening=happening) for name in said[1:]
            )
            got += [event.id async for event in follower if event]
        assert len(got) < len(said)
        with feed.listening(None) as listener:
            async for event in feed.events(listener, got[-1]):
                assert event is not None
                got.append(event.id)
                if event.id == said[-1]:
                    break
        assert got == said
        return got

    assert len(asyncio.run(lag())) == feed_module.QUEUE + 3


def test_fifty_listeners_share_one_reader(running: Served) -> None:
    client: redis.Redis = running.played.client
    with httpx.Client(
        base_url=f"{running.url}/api/v1",
        headers={"Authorization": f"Bearer {running.tokens[Role.VIEWER]}"},
        limits=httpx.Limits(max_connections=60),
        timeout=60,
    ) as many:
        answers = [many.send(many.build_request("GET", "/events"), stream=True) for _ in range(50)]
        try:
            streams = [answer.iter_lines() for answer in answers]
            for stream in streams:
                assert next(stream) == ": follows"
            mine = say(client, "xsa-1", "for all")
            assert [next(events(stream))["id"] for stream in streams] == [mine] * 50

            def reading() -> int:
                clients: Any = client.client_list()
                return sum("xread" in one["cmd"] for one in clients)

            until(lambda: reading() == 1, "one client that waits for news")
        finally:
            for answer in answers:
                answer.close()


@pytest.mark.parametrize("how", ["revoked", "over", "of another role"])
def test_the_feed_ends_with_the_token_that_it_was_opened_with(
    running: Served, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Who may not ask any more hears nothing more, however long ago they asked."""
    monkeypatch.setattr(api_events, "ASKED_AGAIN_S", 0.0)
    client, tokens = running.played.client, running.service.tokens
    token = tokens.get(running.tokens[Role.VIEWER].split("_")[1])
    with following(running) as told:
        say(client, "xsa-1", "while it works")
        assert next(told)["happening"]["text"] == "while it works"
        if how == "revoked":
            tokens.revoke(token.id, running.played.clock.now())
        elif how == "over":
            running.played.clock.time = token.expires_at
        else:
            changed = token.model_copy(update={"role": Role.ON_CALL})
            client.hset(TOKENS_KEY, token.id, changed.model_dump_json())
        say(client, "xsa-1", "afterwards")
        assert list(told) == []
