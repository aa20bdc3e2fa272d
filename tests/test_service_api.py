"""The API as programs read it: what is there, who may, and what is said without its server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.wire import Wanted
from scheduler.embedded import EmbeddedServer
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, begun, just_begun, refused, served, small_fleet
from tests.sim import NEW


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


# Reading.


def test_hosts_are_listed_with_what_their_agents_report(running: Served) -> None:
    said = running.get("/hosts").json()
    assert [one["name"] for one in said["items"]] == ["h0", "h1", "h2", "h3"]
    assert said["next"] is None
    first = said["items"][0]
    assert (first["xen_version"], first["guests"], first["rollout"]) == ("4.17.7", 3, "xsa-1")
    detail = running.get("/hosts/h0").json()
    assert {one["name"] for one in detail["guests_seen"]} == {"g0", "g4", "p0"}


def test_a_host_that_never_reported_is_shown_as_such(running: Served) -> None:
    running.played.client.delete("xr:host:h2:report")
    running.played.store.apply_inventory(b'{"hosts": [{"name": "h2"}, {"name": "new"}]}')
    said = running.get("/hosts").json()["items"]
    assert said[1]["name"] == "new"
    assert said[1]["reported_at"] is None and "never reported" in said[1]["trouble"]


def test_a_guest_is_found_by_name_and_on_its_host(running: Served) -> None:
    assert [one["host"] for one in running.get("/guests/g5").json()] == ["h1"]
    on_h1 = running.get("/guests", host="h1").json()["items"]
    assert [one["name"] for one in on_h1] == ["g1", "g5"]
    refused(running.get("/guests/g99"), 404, "not_found", "guest g99")


def test_long_lists_come_in_pages_that_lose_and_repeat_nothing(running: Served) -> None:
    for path, key in (
        ("/hosts", "name"),
        ("/guests", "name"),
        ("/rollouts/xsa-1/steps", "id"),
        ("/rollouts/xsa-1/hosts", "name"),
        ("/rollouts/xsa-1/events", "id"),
    ):
        whole = [one[key] for one in running.get(path, limit=1000).json()["items"]]
        found: list[str] = []
        cursor = None
        while True:
            said = running.get(path, limit=2, cursor=cursor).json()
            assert len(said["items"]) <= 2
            found += [one[key] for one in said["items"]]
            cursor = said["next"]
            if cursor is None:
                break
        assert found == whole and len(whole) == len(set(whole)), path


def test_a_rollout_is_read_while_it_goes_on(running: Served) -> None:
    played = running.played
    head = running.get("/rollouts/xsa-1").json()
    assert (head["state"], head["wanted_now"], head["advisory"]) == ("running", "run", "XSA-1")
    controller = played.controller()
    for _ in range(20):
        played.round(controller)
    progress = running.get("/rollouts/xsa-1/progress").json()
    assert progress["moves_done"] > 0
    moves = running.get("/rollouts/xsa-1/steps", kind="move", state="done").json()["items"]
    assert len(moves) == progress["moves_done"]
    assert running.get(f"/rollouts/xsa-1/steps/{moves[0]['id']}").json() == moves[0]
    played.run(controller)
    assert running.get("/rollouts/xsa-1").json()["state"] == "done"
    assert running.get("/rollouts/xsa-1/report").json()["hosts"] == {"fixed": 4}
    waves = running.get("/rollouts/xsa-1/waves").json()["items"]
    assert sum(wave["fixed"] for wave in waves) == 4
    assert running.get("/rollouts/xsa-1/plans/1").json()["format"] == "xenroll.plan/1"
    assert [one["id"] for one in running.get("/rollouts").json()["items"]] == ["xsa-1"]


def test_the_forecast_tells_when_it_ends_and_what_would_help(running: Served) -> None:
    said = running.get("/rollouts/xsa-1/forecast").json()
    assert said["rollout"] == "xsa-1" and said["reboots_left"] == 4
    assert 0 < said["p50_s"] <= said["p90_s"]
    assert said["cone"][0]["hosts_p50"] == 4 and said["cone"][-1]["hosts_p50"] == 0
    assert said["guest_hours_so_far"] == 0 and said["guest_hours_to_come"] > 0
    assert said["deadline"] is None and said["chance_in_time"] is None
    assert any("max_hosts_away 1 -> 2" in one["change"] for one in said["remedies"])
    running.played.run(running.played.controller())
    end = running.get("/rollouts/xsa-1/forecast").json()
    assert (end["p90_s"], end["moves_left"]) == (0, 0) and end["guest_hours_so_far"] > 0
    refused(running.get("/rollouts/nothing/forecast"), 404, "not_found", "nothing")


def test_what_a_pause_costs_is_told_before_anybody_pauses(running: Served) -> None:
    controller = running.played.controller()
    for _ in range(2):
        running.played.round(controller, 1.0)
    said = running.get("/rollouts/xsa-1/pause-cost", for_s=600).json()
    assert 300 < said["p50_later_s"] <= 700 and said["closed"] == len(said["half_drained"])
    refused(running.get("/rollouts/xsa-1/pause-cost", for_s=0), 422, "invalid", "for_s")


def test_progress_has_the_controllers_newest_forecast(running: Served) -> None:
    assert running.get("/rollouts/xsa-1/progress").json()["outlook"] is None
    controller = running.played.controller()
    for _ in range(2):  # it hears every host before it tells anything
        running.played.round(controller)
    first = running.get("/rollouts/xsa-1/progress").json()["outlook"]
    assert first["made_at"] < first["p50_at"] <= first["p90_at"]
    for _ in range(8):
        running.played.round(controller)
    assert running.get("/rollouts/xsa-1/progress").json()["outlook"]["made_at"] > first["made_at"]


def test_the_burn_down_starts_with_everything_exposed_and_ends_with_nothing(
    running: Served,
) -> None:
    start = running.get("/rollouts/xsa-1/exposure").json()
    assert start["points"][-1]["hosts"] == 4 and start["points"][-1]["guests"] == 9
    controller = running.played.controller()
    hosts = running.played.sim.hosts.values()
    while sum(one.build == NEW for one in hosts) < 2:
        running.played.round(controller, 20.0)
    running.played.round(controller)
    running.played.round(controller)
    middle = running.get("/rollouts/xsa-1/exposure").json()
    assert 0 < middle["points"][-1]["hosts"] < 4
    assert 0 < middle["left_p50_s"] <= middle["left_p90_s"]
    running.played.run(controller)
    points = running.get("/rollouts/xsa-1/exposure").json()["points"]
    assert points[-1]["hosts"] == points[-1]["guests"] == 0
    assert [p["hosts"] for p in points] == sorted((p["hosts"] for p in points), reverse=True)


def test_crashes_are_listed_with_class_and_reason(redis_client: redis.Redis) -> None:
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes"})
    begun(played)
    played.run(played.controller())
    with served(redis_client, played) as running:
        (crash,) = running.get("/crashes").json()["items"]
        assert crash["guest"] == "g1" and crash["rollout"] == "xsa-1"
        assert running.get("/crashes", rollout="xsa-1").json()["items"] == [crash]


def test_unknown_things_are_404_and_named(running: Served) -> None:
    for path in (
        "/rollouts/xsa-9",
        "/rollouts/xsa-9/progress",
        "/rollouts/xsa-9/events",
        "/rollouts/xsa-1/steps/g9-9",
        "/rollouts/xsa-1/plans/9",
        "/hosts/h9",
        "/crashes?rollout=xsa-9",
    ):
        refused(running.get(path), 404, "not_found", "9")
    refused(running.get("/nothing"), 404, "not_found")


def test_a_value_out_of_range_is_422_with_its_field(running: Served) -> None:
    refused(running.get("/hosts", limit=0), 422, "invalid", "query.limit")
    refused(running.get("/hosts", limit="many"), 422, "invalid", "query.limit")
    for cursor in ("!!", "e30", "WzFd", "x" * 5000):
        refused(running.get("/hosts", cursor=cursor), 422, "invalid", "query.cursor")
    refused(running.get("/rollouts/xsa-1/steps", state="asleep"), 422, "invalid", "query.state")


# Who may.


def test_without_a_token_that_works_everything_is_401(running: Served) -> None:
    good = running.tokens[Role.VIEWER]
    for said in ("Bearer", "Bearer x", f"Bearer {good}x", f"Bearer {good[:-1]}", "Basic eDp5"):
        with running.client(None, Authorization=said) as client:
            refused(client.get("/hosts"), 401, "unauthenticated")
    answer = running.get("/hosts", None)
    refused(answer, 401, "unauthenticated", "a token is needed")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_ends_on_its_hour_and_when_it_is_revoked(running: Served) -> None:
    assert running.get("/me").json() == {"name": "t-viewer", "role": "viewer"}
    viewer = running.tokens[Role.VIEWER].split("_")[1]
    running.service.tokens.revoke(viewer, running.played.clock.now())
    refused(running.get("/me"), 401, "unauthenticated", "revoked")
    assert running.get("/me", Role.ADMIN).status_code == 200
    running.played.clock.time += timedelta(days=1)
    refused(running.get("/me", Role.ADMIN), 401, "unauthenticated", "ended")


def test_a_stored_token_does_not_hold_its_secret(running: Served) -> None:
    stored = str(running.played.client.hgetall("xr:tokens"))
    for text in running.tokens.values():
        assert text.split("_")[2] not in stored


def test_a_role_that_is_not_enough_is_403_with_the_role_needed(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/pause"
    refused(running.post(path, role=Role.VIEWER), 403, "forbidden", "role on-call", "viewer")
    start = {"advisory": "XSA-2", "fixed_builds": [NEW], **REASON}
    refused(running.post("/rollouts", start, role=Role.ON_CALL), 403, "forbidden", "security")
    refused(running.get("/audit", Role.SECURITY), 403, "forbidden", "role admin")
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


def test_a_request_id_that_could_break_a_log_is_replaced(running: Served) -> None:
    with running.client() as client:
        answer = client.get("/me", headers={"X-Request-ID": "a b;\x1b[31m"})
    assert answer.headers["x-request-id"].isalnum()


def test_a_browser_sent_by_another_site_reads_nothing_with_its_cookie(running: Served) -> None:
    caller = running.service.tokens.caller(running.tokens[Role.ADMIN], running.played.clock.now())
    assert caller is not None
    cookie = {"Cookie": f"xenroll_session={running.service.tokens.open_session(caller)}"}
    with running.client(None, **cookie) as client:
        assert client.get("/me").json()["name"] == "t-admin"
        elsewhere = client.get("/me", headers={"Sec-Fetch-Site": "cross-site"})
        refused(elsewhere, 401, "unauthenticated")
        elsewhere = client.get("/me", headers={"Origin": "https://elsewhere.example"})
        refused(elsewhere, 401, "unauthenticated")
        key = {"Idempotency-Key": "key-of-mine-4"}
        act = client.post("/rollouts/xsa-1/actions/abort", json=REASON, headers=key)
        refused(act, 401, "unauthenticated")
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


# When the server is away.


def test_a_server_that_is_away_is_503_and_health_still_answers(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    log: list[str] = []
    with redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        with served(client, RedisFleet(client, small_fleet()), log=log) as running:
            assert httpx.get(f"{running.url}/healthz", timeout=30).text == "ok\n"
            assert httpx.get(f"{running.url}/readyz", timeout=30).text == "ok\n"
            server.stop()
            assert httpx.get(f"{running.url}/healthz", timeout=30).text == "ok\n"
            assert httpx.get(f"{running.url}/readyz", timeout=30).status_code == 503
            refused(running.get("/hosts"), 503, "store_away")
        assert all("waits for the server" in line for line in log)
