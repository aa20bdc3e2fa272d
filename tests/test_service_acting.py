"""What programs do through the API: once for each key, with a reason, in the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from agents.wire import Wanted
from scheduler.rollout import RolloutState
from scheduler.service.access import Role
from scheduler.service.guard import MAX_BODY_BYTES
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, just_begun, refused, served, small_fleet
from tests.sim import NEW


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


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
            refused(answer, 422, "invalid", "JSON")
        # What `curl -d` sends unless it is told otherwise.
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = client.post(path, content=b'{"reason": "a test"}', headers=form)
        refused(answer, 422, "invalid", "Content-Type: application/json")
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
