"""Which hosts are closed: what whoever places guests reads is what the records say, at any time."""

from __future__ import annotations

import json

import pytest
import redis

from agents.wire import Wanted
from scheduler.closed import KEY, closed_hosts
from scheduler.rollout import ENDED, RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import served
from tests.test_cli_rollout import xenroll


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(12)]
    played = RedisFleet(redis_client, fleet([host(f"h{n}", gib=16) for n in range(4)], guests))
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.begin()
    return played


def by_records(played: RedisFleet) -> list[str]:
    book = played.store.book("xsa-1")
    return sorted(one.name for one in book.hosts.values() if one.closed)


def by_key(played: RedisFleet) -> list[str]:
    return [one.host for one in closed_hosts(played.client)]


def test_the_key_says_what_the_records_say_after_every_round(played: RedisFleet) -> None:
    seen: set[str] = set()
    controller = played.controller()
    while played.head().state not in ENDED:
        played.round(controller)
        assert by_key(played) == by_records(played)
        seen.update(by_key(played))
    assert seen == {"h0", "h1", "h2", "h3"}, "each was closed for a while"
    assert played.client.hlen(KEY) == 0


def until_closed(played: RedisFleet) -> None:
    controller = played.controller()
    while not by_key(played):
        played.round(controller)


def test_an_entry_names_its_rollout_and_since_when(played: RedisFleet) -> None:
    until_closed(played)
    first = closed_hosts(played.client)[0]
    assert first.rollout == "xsa-1" and "is being emptied in rollout xsa-1" in first.reason
    assert first.since == played.store.book("xsa-1").hosts[first.host].since
    entry = json.loads(played.client.hget(KEY, first.host) or "")
    assert set(entry) == {"rollout", "reason", "since"}


def test_an_abort_leaves_nothing_closed(played: RedisFleet) -> None:
    until_closed(played)
    played.want(Wanted.ABORT)
    played.run(played.controller())
    assert played.head().state is RolloutState.ABORTED
    assert played.client.hlen(KEY) == 0


def test_the_end_of_a_rollout_takes_its_own_entries_alone(played: RedisFleet) -> None:
    other = json.dumps({"rollout": "xsa-2", "reason": "x", "since": None})
    stray = json.dumps({"rollout": "xsa-1", "reason": "x", "since": None})
    played.client.hset(KEY, mapping={"elsewhere": other, "h9": stray})
    played.run(played.controller())
    assert played.client.hgetall(KEY) == {b"elsewhere": other.encode()}


def test_an_entry_without_its_rollout_counts_for_nothing(played: RedisFleet) -> None:
    orphan = json.dumps({"rollout": "gone", "reason": "x", "since": None})
    played.client.hset(KEY, "h0", orphan)
    assert by_key(played) == []


def test_the_path_and_the_command_tell_the_same(played: RedisFleet, redis_url: str) -> None:
    said = xenroll(redis_url, "host", "closed")
    assert (said.returncode, said.stdout.strip()) == (0, "no host is closed")
    until_closed(played)
    printed = json.loads(xenroll(redis_url, "host", "closed", "-o", "json").stdout)
    with served(played.client, played) as running:
        answered = running.get("/closed-hosts").json()["items"]
        assert running.get("/closed-hosts", role=None).status_code == 401
    assert printed == answered and [one["host"] for one in answered] == by_records(played)
    assert by_records(played)[0] in xenroll(redis_url, "host", "closed").stdout
