"""Inventory and advisories over the API: read, replaced, merged, and every way to be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis

from scheduler.service.access import Role
from scheduler.service.guard import LONGER_BYTES, MAX_BODY_BYTES
from scheduler.service.paging import encode
from tests.service_kit import Served, just_begun, refused

WHY = {"reason": "a test of the service"}


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def put(
    running: Served, path: str, raw: bytes, role: Role | None = Role.ADMIN, **query: Any
) -> httpx.Response:
    headers = {"content-type": "application/json"}
    with running.client(role) as client:
        return client.put(path, content=raw, params=query or WHY, headers=headers)


def test_an_inventory_is_read_and_replaced_and_the_change_is_in_the_trail(running: Served) -> None:
    found = running.get("/inventory").json()
    assert [one["name"] for one in found["hosts"]] == ["h0", "h1", "h2", "h3"]
    found["hosts"] = found["hosts"][:2]
    assert put(running, "/inventory", json.dumps(found).encode()).status_code == 200
    assert running.get("/inventory").json() == found
    assert len(running.get("/hosts").json()["items"]) == 2
    (line,) = running.get("/audit", Role.ADMIN).json()["items"]
    assert (line["action"], line["target"]) == ("inventory.apply", "2 hosts")


def test_an_inventory_that_is_none_changes_nothing(running: Served) -> None:
    before = running.played.store.inventory()
    for raw, words in (
        (b"{", "inventory"),
        (b"\xff", "inventory"),
        (b'{"hosts": [{"name": "h1"}, {"name": "h1"}]}', "there twice"),
        (b'{"hosts": [{"name": "h1", "rack": "r"}]}', "hosts[0].rack"),
        (b'{"policy": {"max_hosts_away": -1}}', "policy"),
    ):
        refused(put(running, "/inventory", raw), 422, "invalid", words)
    refused(put(running, "/inventory", b"{}", reason="x"), 422, "invalid", "query.reason")
    refused(put(running, "/inventory", b"{}", role=Role.SECURITY), 403, "forbidden", "role admin")
    refused(put(running, "/inventory", b"{}", role=None), 401, "unauthenticated")
    long = b" " * (LONGER_BYTES["/api/v1/inventory"] + 1)
    refused(put(running, "/inventory", long), 413, "too_large", "body")
    long = b" " * (MAX_BODY_BYTES + 1)
    refused(put(running, "/inventory", long, role=None), 413, "too_large", "body")
    assert running.played.store.inventory() == before
    assert running.get("/audit", Role.ADMIN).json()["items"] == []
    running.played.client.delete("xr:inventory")
    refused(running.get("/inventory"), 404, "not_found", "xenroll inventory apply")


def test_an_advisory_is_put_and_merged_by_the_security_role(running: Served) -> None:
    path = "/advisories/XSA-7"
    first = b'{"id": "XSA-7", "title": "such"}'
    refused(put(running, path, first, role=Role.ON_CALL), 403, "forbidden", "role security")
    assert put(running, path, first, role=Role.SECURITY).status_code == 200
    more = b'{"id": "XSA-7", "fixed_version": ">=4.17.8"}'
    assert put(running, path, more, merge="true", reason=WHY["reason"]).status_code == 200
    found = running.get(path).json()
    assert (found["title"], found["fixed_version"]) == ("such", ">=4.17.8")
    assert put(running, path, more).status_code == 200
    assert running.get(path).json()["title"] == ""
    for raw, field in (
        (b'{"id": "XSA-8"}', "body.id"),
        (b'{"id": "XSA-7", "fixed_builds": ["x"]}', "body.fixed_builds.0"),
        (b'{"id": "XSA-7", "embargo_until": "2026-12-01T00:00:00Z"}', "codename"),
        (b'{"id": "XSA-7", "more": 1}', "body.more"),
        (b"[]", "body"),
    ):
        refused(put(running, path, raw), 422, "invalid", field)


def test_a_payload_whose_file_name_tells_a_secret_advisory_is_refused(running: Served) -> None:
    path, build = "/advisories/XSA-470", "0" * 40
    facts = {"id": "XSA-470", "codename": "otter", "embargo_until": "2099-01-01T00:00:00Z"}
    for file in ("xsa470.livepatch", "fix-0470-4.17.livepatch", "lp-470.livepatch"):
        named = json.dumps({**facts, "livepatches": {build: f"/srv/{file}"}}).encode()
        answer = put(running, path, named)
        if "0470" in file:  # another number
            assert answer.status_code == 200
            continue
        refused(answer, 422, "tells_the_name", file)
        assert "name it after otter" in answer.json()["detail"]
    cve = {**facts, "cves": ["CVE-2026-99"], "livepatches": {build: "cve_2026_99.livepatch"}}
    refused(put(running, path, json.dumps(cve).encode()), 422, "tells_the_name", "cve_2026_99")
    open_now = {**cve, "embargo_until": None}
    assert put(running, path, json.dumps(open_now).encode()).status_code == 200
    secret = json.dumps({"id": "XSA-470", "embargo_until": facts["embargo_until"]}).encode()
    merged = put(running, path, secret, merge="true", reason=WHY["reason"])
    refused(merged, 422, "invalid", "codename")


def test_every_plan_of_a_rollout_is_listed(running: Served) -> None:
    (plan,) = running.get("/rollouts/xsa-1/plans").json()["items"]
    assert plan == {"generation": 1, "href": "/api/v1/rollouts/xsa-1/plans/1"}
    assert running.get(plan["href"].removeprefix("/api/v1")).json()["format"] == "xenroll.plan/1"
    refused(running.get("/rollouts/xsa-9/plans"), 404, "not_found", "xsa-9")


def test_a_cursor_that_was_tampered_with_is_bad_input_and_never_an_away_server(
    running: Served,
) -> None:
    for key in ((), ("x",), ("+",), ("1",), ("(1-1",), ("1-1", "2"), (f"{2**64}-0",)):
        for path in ("/audit", "/rollouts/xsa-1/events"):
            answer = running.get(path, role=Role.ADMIN, cursor=encode(key))
            refused(answer, 422, "invalid", "query.cursor")


def test_the_newest_events_are_the_last_page(running: Served) -> None:
    whole = running.get("/rollouts/xsa-1/events", limit=1000).json()["items"]
    last = running.get("/rollouts/xsa-1/events", newest=True, limit=1).json()
    assert last == {"items": whole[-1:], "next": None}
