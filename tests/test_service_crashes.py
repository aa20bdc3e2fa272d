"""Crashes over all rollouts and quarantined classes, over the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, begun, just_begun, refused, served, small_fleet

RELEASE = "/classes/actions/release"


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def test_what_was_never_moved_has_no_crashes_and_no_class(running: Served) -> None:
    assert running.get("/crash-watch").json()["endings"] == []
    assert running.get("/classes").json() == {"items": [], "next": None}
    assert running.get("/crash-comparison").json()["days"] == 90
    refused(running.get("/crash-watch", days=0), 422, "invalid", "query.days")
    refused(running.get("/crash-comparison", confidence=1), 422, "invalid", "query.confidence")


def test_a_class_is_released_by_the_security_role_alone(running: Served) -> None:
    body = {"guest_class": "pv 3.10-i386", **REASON}
    refused(running.post(RELEASE, body), 403, "forbidden", "role security")
    refused(running.post(RELEASE, {}, role=Role.SECURITY), 422, "invalid", "body.guest_class")
    answer = running.post(RELEASE, body, role=Role.SECURITY)
    refused(answer, 409, "not_quarantined", "pv 3.10-i386", "no class is")
    (last, first) = running.get("/audit", Role.ADMIN).json()["items"]
    assert (first["outcome"], first["action"]) == ("asked", "class.release")
    assert last["outcome"].startswith("refused: class pv 3.10-i386")


def test_a_guest_has_one_class_everywhere_and_the_inventory_goes_first(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    named = tuple(
        entry.model_copy(update={"guest_class": "named by hand" if entry.name == "g0" else None})
        for entry in played.sim.inventory.guests
    )
    played.sim.inventory = played.sim.inventory.model_copy(update={"guests": named})
    begun(played)
    played.run(played.controller())
    with served(redis_client, played) as running:
        rollout = played.head().id
        seen = {one["name"]: one for one in running.get("/guests").json()["items"]}
        moved = running.get(f"/rollouts/{rollout}/guests").json()["items"]
        on_host = running.get(f"/hosts/{seen['g0']['host']}").json()["guests_seen"]
        rested = {one["guest_class"] for one in running.get("/classes").json()["items"]}
    assert seen["g0"]["guest_class"] == "named by hand"
    assert next(one for one in on_host if one["name"] == "g0")["guest_class"] == "named by hand"
    by_dom0 = seen["g1"]["guest_class"]
    classes = {one["name"]: one["guest_class"] for one in moved if one["moves"]}
    assert classes.pop("g0") == "named by hand" and set(classes.values()) == {by_dom0}
    assert rested == {"named by hand", by_dom0}


def test_a_guest_that_crashed_and_runs_nowhere_is_told_of_by_its_rollout(
    redis_client: redis.Redis,
) -> None:
    """The crash table leads to it: whoever follows has to learn more than that it is not there."""
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes"})
    begun(played)
    played.run(played.controller())
    crashed = played.store.book(played.head().id).guests["g1"]
    with served(redis_client, played) as running:
        answers = [running.get("/guests/g1")]
        with running.client() as client:
            page = {"Accept": "text/html"}
            client.post(f"{running.url}/login", data={"token": running.tokens[Role.VIEWER]})
            answers.append(client.get(f"{running.url}/guests/g1", headers=page))
        assert running.get("/guests/g99").json()["detail"] == "there is no guest g99"
    for answer in answers:
        assert answer.status_code == 404
        assert f"no host shows guest g1 now; rollout xsa-1: {crashed.reason}" in answer.text
