"""Pause, resume, abort and approval of one wave or one host, through the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from scheduler.rollout import RolloutState
from scheduler.service.access import Role
from scheduler.service.guard import MAX_BODY_BYTES
from scheduler.waves import PartWish
from tests.service_kit import REASON, Served, just_begun, refused

WAVE, HOST = "/rollouts/xsa-1/waves/1/actions", "/rollouts/xsa-1/hosts/h1/actions"


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def test_each_action_is_written_down_at_once_with_who_and_why(running: Served) -> None:
    control = running.played.store.control
    for path, field in ((WAVE, "wave:1"), (HOST, "host:h1")):
        for action, wanted in (("pause", "pause"), ("resume", "run"), ("abort", "abort")):
            answer = running.post(f"{path}/{action}")
            assert answer.status_code == 202, answer.text
            assert answer.headers["location"] == answer.json()["href"]
            assert running.get("/rollouts/xsa-1/progress").status_code == 200
            wish = PartWish.model_validate_json(control("xsa-1")[field])
            assert (wish.wanted, wish.by, wish.reason) == (wanted, "t-on-call", REASON["reason"])
    trail = running.get("/audit", Role.ADMIN).json()["items"][::-1]
    assert [(one["action"], one["target"]) for one in trail] == [
        (action, f"xsa-1, {part}")
        for part in ("wave 1", "host h1")
        for action in ("pause", "resume", "abort")
    ]


def test_the_rollout_goes_on_without_a_host_that_was_aborted(running: Served) -> None:
    assert running.post(f"{HOST}/abort").status_code == 202
    running.played.run(running.played.controller())
    assert running.played.head().state is RolloutState.DONE
    hosts = running.get("/rollouts/xsa-1/hosts").json()["items"]
    assert {one["name"] for one in hosts if one["state"] == "fixed"} == {"h0", "h2", "h3"}


def test_a_host_that_reports_is_not_taken_for_dead_and_a_silent_one_is(running: Served) -> None:
    refused(running.post(f"{HOST}/dead", role=Role.VIEWER), 403, "forbidden", "role on-call")
    refused(running.post(f"{HOST}/dead"), 409, "not_silent", "host h1 reports", "state")
    refused(running.post(f"{WAVE}/dead"), 422, "invalid", "action")
    played = running.played
    controller = played.controller()
    played.mute = {"h1"}
    while not played.store.book("xsa-1").hosts["h1"].silent:
        played.round(controller)
    answer = running.post(f"{HOST}/dead")
    assert (answer.status_code, answer.json()["part"]) == (202, "host h1")
    played.round(controller)
    host = played.store.book("xsa-1").hosts["h1"]
    assert host.lost and host.dead and host.dead.by == "t-on-call"
    refused(running.post(f"{HOST}/dead"), 409, "already", "goes on without h1 already", "state")
    assert running.get("/audit", Role.ADMIN).json()["items"][0]["target"] == "xsa-1, host h1"


def test_an_approval_needs_the_role_that_starts_rollouts(running: Served) -> None:
    refused(running.post(f"{WAVE}/approve"), 403, "forbidden", "role security")
    answer = running.post(f"{WAVE}/approve", role=Role.SECURITY)
    assert (answer.status_code, answer.json()["part"]) == (202, "wave 1")
    running.played.round(running.played.controller())
    again = running.post(f"{WAVE}/approve", role=Role.SECURITY)
    refused(again, 409, "already", "wave 1", "state")


def test_no_wave_is_approved_while_its_rollout_is_being_aborted(running: Served) -> None:
    assert running.post("/rollouts/xsa-1/actions/abort").status_code == 202
    answer = running.post(f"{WAVE}/approve", role=Role.SECURITY)
    refused(answer, 409, "aborting", "xsa-1 is being aborted", "state")
    assert "approve:1" not in running.played.store.control("xsa-1")


def test_the_same_key_acts_once(running: Served) -> None:
    first = running.post(f"{WAVE}/pause", key="key-of-mine-1")
    again = running.post(f"{WAVE}/pause", key="key-of-mine-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotency-replayed"] == "true" and first.json() == again.json()
    refused(running.post(f"{WAVE}/resume", key="key-of-mine-1"), 422, "key_reused")
    refused(running.post(f"{HOST}/pause", key="key-of-mine-1"), 422, "key_reused")


def test_every_way_to_be_refused(running: Served) -> None:
    before = running.played.store.control("xsa-1")
    for path in (f"{WAVE}/pause", f"{HOST}/pause", f"{WAVE}/approve"):
        refused(running.post(path, role=Role.VIEWER), 403, "forbidden", "role on-call")
        refused(running.post(path, {}), 422, "invalid", "body.reason")
        refused(running.post(path, {"reason": "x"}), 422, "invalid", "body.reason")
        refused(running.post(path, REASON | {"more": 1}), 422, "invalid", "body.more")
        refused(running.post(path, {"reason": "x" * MAX_BODY_BYTES}), 413, "too_large", "body")
        refused(running.post(path, key="short"), 422, "invalid", "idempotency-key")
        with running.client(None, Authorization="Bearer xr_x") as client:
            refused(client.post(path, json=REASON), 401, "unauthenticated")
        with running.client(None, Cookie="xenroll_session=x", Origin="https://e.example") as client:
            refused(client.post(path, json=REASON), 401, "unauthenticated")
    for path, words in (
        ("/rollouts/xsa-1/waves/7/actions/pause", "no wave 7"),
        ("/rollouts/xsa-1/hosts/h9/actions/pause", "no host h9"),
        ("/rollouts/xsa-9/hosts/h1/actions/pause", "xsa-9"),
    ):
        refused(running.post(path), 404, "not_found", words)
    for path in (f"{HOST}/approve", f"{WAVE}/destroy", "/rollouts/xsa-1/waves/0/actions/pause"):
        refused(running.post(path), 422, "invalid")
    refused(running.post(f"{HOST}/resume"), 409, "not_paused", "host h1")
    assert running.played.store.control("xsa-1") == before
    outcomes = {one["outcome"] for one in running.get("/audit", Role.ADMIN).json()["items"]}
    assert any("refused: host h1 is not paused" in one for one in outcomes)
