"""The API as programs use it: reading, acting, and every way to be refused."""

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
from scheduler.rollout import RolloutState
from scheduler.service.access import Role
from scheduler.service.guard import MAX_BODY_BYTES
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, begun, served, small_fleet
from tests.sim import NEW


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A service in front of a small fleet, with a rollout that was just started."""
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    with served(redis_client, played) as made:
        yield made


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, object]:
    """The problem that this answer is, with these words somewhere in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["status"], said["code"]) == (status, code)
    assert said["request_id"] == answer.headers["x-request-id"]
    for word in words:
        assert word in answer.text, answer.text
    return dict(said)


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


# Acting.


def test_pause_resume_and_abort_are_written_down_at_once(running: Served) -> None:
    control = running.played.store.control
    for action, wanted in (("pause", "pause"), ("resume", "run"), ("abort", "abort")):
        answer = running.post(f"/rollouts/xsa-1/actions/{action}")
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == "/api/v1/rollouts/xsa-1"
        assert control("xsa-1")["wanted"] == wanted
        assert (control("xsa-1")["by"], control("xsa-1")["reason"]) == (
            "t-on-call",
            REASON["reason"],
        )
        assert running.get("/rollouts/xsa-1").json()["wanted_now"] == wanted


def test_a_pause_through_the_service_is_obeyed_by_the_controller(running: Served) -> None:
    played = running.played
    controller = played.controller()
    played.round(controller)
    running.post("/rollouts/xsa-1/actions/pause")
    for _ in range(60):
        played.round(controller)
    assert played.head().state is RolloutState.PAUSED
    assert running.get("/rollouts/xsa-1/progress").json()["in_flight"] == []
    running.post("/rollouts/xsa-1/actions/resume")
    played.run(controller)
    assert played.head().state is RolloutState.DONE


def test_what_makes_no_sense_in_a_state_is_409_with_the_state(running: Served) -> None:
    path = "/rollouts/xsa-1/actions"
    refused(running.post(f"{path}/resume"), 409, "not_paused", "running")
    running.post(f"{path}/pause")
    refused(running.post(f"{path}/pause"), 409, "already", "paused")
    running.post(f"{path}/abort")
    for action in ("pause", "resume", "abort"):
        refused(running.post(f"{path}/{action}"), 409, "aborting", "cannot be taken back")
    running.played.run(running.played.controller())
    refused(running.post(f"{path}/pause"), 409, "ended", "has ended (aborted)")
    refused(running.post("/rollouts/xsa-9/actions/pause"), 404, "not_found", "xsa-9")


def test_the_same_key_acts_once_and_gets_the_same_answer(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/pause"
    first = running.post(path, key="key-of-mine-1")
    running.post("/rollouts/xsa-1/actions/resume")
    again = running.post(path, key="key-of-mine-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN
    other = running.post(path, {"reason": "another reason"}, key="key-of-mine-1")
    refused(other, 422, "key_reused")
    whose = running.post(path, key="key-of-mine-1", role=Role.SECURITY)
    assert whose.status_code == 202, "a key is its caller's own"


def test_a_refused_key_can_be_tried_again(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/resume"
    refused(running.post(path, key="key-of-mine-2"), 409, "not_paused")
    running.post("/rollouts/xsa-1/actions/pause")
    assert running.post(path, key="key-of-mine-2").status_code == 202


def test_an_action_needs_a_reason_and_a_key(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/pause"
    for body in ({}, {"reason": ""}, {"reason": "  a "}, {"reason": "x" * 501}, {"reason": 7}):
        refused(running.post(path, body), 422, "invalid", "body.reason")
    refused(running.post(path, REASON | {"force": True}), 422, "invalid", "body.force")
    refused(running.post(path, ["pause"]), 422, "invalid", "body")
    refused(running.post(path, key="short"), 422, "invalid", "idempotency-key")
    with running.client(Role.ON_CALL) as client:
        refused(client.post(path, json=REASON), 422, "invalid", "idempotency-key")
    refused(running.post("/rollouts/xsa-1/actions/destroy"), 422, "invalid", "path.action")
    refused(running.post("/rollouts", {}, role=Role.SECURITY), 422, "invalid", "advisory")
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


def test_a_body_that_is_too_long_is_413_however_it_comes(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/pause"
    refused(running.post(path, {"reason": "x" * MAX_BODY_BYTES}), 413, "too_large", "body")
    pieces = (b"x" * 1000 for _ in range(MAX_BODY_BYTES // 1000 + 2))
    with running.client(Role.ON_CALL) as client:
        refused(client.post(path, content=pieces), 413, "too_large", "body")


def test_malformed_json_is_422_and_never_a_defect(running: Served) -> None:
    path = "/rollouts/xsa-1/actions/pause"
    with running.client(Role.ON_CALL, **{"Idempotency-Key": "key-of-mine-3"}) as client:
        for raw in (b"{", b"\xff\xfe", b"", b"null", b'"reason"', b"[" * 5000):
            answer = client.post(path, content=raw, headers={"content-type": "application/json"})
            refused(answer, 422, "invalid")
        answer = client.put(path, json=REASON)
        refused(answer, 405, "method_not_allowed")


def test_every_change_stands_in_the_audit_trail_before_it_is_made(running: Served) -> None:
    answer = running.post("/rollouts/xsa-1/actions/pause", headers={"X-Request-ID": "page-4711"})
    assert answer.headers["x-request-id"] == "page-4711"
    running.post("/rollouts/xsa-1/actions/resume", {"reason": "looked at it"}, role=Role.ADMIN)
    said = running.get("/audit", Role.ADMIN).json()["items"]
    assert [(one["who"], one["action"], one["target"]) for one in said] == [
        ("t-admin", "resume", "xsa-1"),
        ("t-on-call", "pause", "xsa-1"),
    ]
    assert said[1]["request_id"] == "page-4711" and said[1]["reason"] == REASON["reason"]
    first = running.get("/audit", Role.ADMIN, limit=1).json()
    rest = running.get("/audit", Role.ADMIN, limit=1, cursor=first["next"]).json()
    assert first["items"] + rest["items"] == said and rest["next"] is None


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


# Starting.


def answering(played: RedisFleet) -> None:
    """Let the hosts look as soon as they are asked to."""
    played.clock.time += timedelta(seconds=1)
    played.publish()


def test_a_rollout_is_started_by_the_security_role(redis_client: redis.Redis) -> None:
    import threading

    played = RedisFleet(redis_client, small_fleet())
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.publish()
    ending = threading.Event()

    def hosts() -> None:
        while not ending.wait(0.05):
            answering(played)

    agents = threading.Thread(target=hosts)
    body = {"advisory": "XSA-7", "fixed_builds": [NEW], **REASON}
    with served(redis_client, played, look_wait_s=60.0) as running:
        agents.start()
        try:
            dry = running.post("/rollouts", body | {"dry_run": True}, role=Role.SECURITY)
            assert dry.status_code == 200 and dry.json()["rollout"] is None, dry.text
            assert played.store.ids() == []
            answer = running.post("/rollouts", body, role=Role.SECURITY)
            assert answer.status_code == 202, answer.text
            assert answer.headers["location"] == "/api/v1/rollouts/xsa-7"
            assert answer.json()["hosts_rebooted"] == 4
            again = running.post("/rollouts", body, role=Role.SECURITY)
            refused(again, 409, "taken", "xsa-7")
        finally:
            ending.set()
            agents.join()
        assert running.get("/rollouts/xsa-7").json()["created_by"] == "t-security"
        audit = running.get("/audit", Role.ADMIN).json()["items"]
        assert {one["action"] for one in audit} == {"start"}


def test_a_host_that_does_not_look_is_named_and_nothing_is_started(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, fleet([host("h0"), host("h1")], [guest("g", "h0")]))
    body = {"advisory": "XSA-7", "fixed_builds": [NEW], **REASON}
    with served(redis_client, played, look_wait_s=1.0) as running:
        refused(running.post("/rollouts", body, role=Role.SECURITY), 409, "no_inventory")
        played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
        said = running.post("/rollouts", body, role=Role.SECURITY)
        refused(said, 409, "fleet_doubt", "h0", "h1", "nothing was started")
        unknown = running.post("/rollouts", body | {"without_hosts": ["h9"]}, role=Role.SECURITY)
        refused(unknown, 409, "fleet_doubt", "no host h9")
    assert played.store.ids() == []


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
