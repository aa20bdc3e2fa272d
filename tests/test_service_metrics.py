"""Metrics, alerts, dashboard and runbook: same names everywhere, and no guest's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agents.keys import host_slug, keys
from agents.wire import Wanted
from scheduler.enroll import set_user
from scheduler.host_acl import user
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.rollout import Happening
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served, small_fleet
from tests.sim import START
from tests.two_parts import Both

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A service in front of a small fleet with one guest that will crash."""
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes"})
    begun(played)
    with served(redis_client, played) as made:
        yield made


def scrape(running: Served) -> Samples:
    headers = {"Authorization": f"Bearer {running.tokens[Role.VIEWER]}"}
    answer = httpx.get(f"{running.url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    samples = [one for family in families for one in family.samples]
    found = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
    assert len(found) == len(samples), "Prometheus keeps one of two samples with the same labels"
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[(name, frozenset(labels.items()))]


def test_a_rollout_is_counted_from_its_start_to_its_end(running: Served) -> None:
    start = scrape(running)
    assert value(start, "xenroll_hosts_exposed", advisory="XSA-1") == 4
    assert value(start, "xenroll_vms_exposed", advisory="XSA-1") == 9
    assert value(start, "xenroll_rollout_state", rollout="xsa-1", state="running") == 1
    assert value(start, "xenroll_failure_budget_remaining_ratio", rollout="xsa-1") == 1
    # A counter that begins with its first crash has not increased: no alert would ever tell of it.
    assert value(start, "xenroll_vm_crashes_total", kernel_class="pvh linux-6.1 x86_64") == 0
    running.played.run(running.played.controller())
    end = scrape(running)
    book = running.played.store.book("xsa-1")
    assert value(end, "xenroll_rollout_state", rollout="xsa-1", state="done") == 1
    assert value(end, "xenroll_rollout_hosts", rollout="xsa-1", state="fixed") == 4
    moved = sum(step.outcome == "moved" for step in book.steps.values())
    assert value(end, "xenroll_migrations_total", outcome="moved", reason="none") == moved
    assert value(end, "xenroll_migrations_total", outcome="crashed", reason="crash") == 1
    assert value(end, "xenroll_vm_crashes_total", kernel_class="pvh linux-6.1 x86_64") == 1
    assert value(end, "xenroll_failure_budget_remaining_ratio", rollout="xsa-1") == 0
    assert value(end, "xenroll_migration_duration_seconds_count") == moved
    assert value(end, "xenroll_host_reboot_duration_seconds_count") == 4
    guests = sum(bool(guest.moves) for guest in book.guests.values())
    assert value(end, "xenroll_vm_moves_count", rollout="xsa-1") == guests
    assert not [name for name, _ in end if name == "xenroll_hosts_exposed"]


def test_what_is_exposed_is_summed_over_rollouts_of_one_advisory(
    redis_client: redis.Redis,
) -> None:
    both = Both(redis_client)
    started = [one.begin() for one in both.parts]
    assert {one.advisory for one in started} == {"XSA-1"}
    with served(redis_client, both.parts[0]) as made:
        found = scrape(made)
    assert value(found, "xenroll_hosts_exposed", advisory="XSA-1") == 6
    assert value(found, "xenroll_vms_exposed", advisory="XSA-1") == 6


def test_moves_in_flight_and_held_time_are_shown_while_it_runs(running: Served) -> None:
    controller = running.played.controller()
    for _ in range(3):
        running.played.round(controller, 2.0)
    found = scrape(running)
    flying = sum(
        value(found, "xenroll_migrations_in_flight", direction=direction)
        for direction in ("to_fixed", "to_exposed")
    )
    book = running.played.store.book("xsa-1")
    assert flying == len(book.under_way) > 0
    assert value(found, "xenroll_step_running_seconds_max", rollout="xsa-1", kind="move") > 0


def test_a_guest_on_two_hosts_is_counted(running: Served) -> None:
    assert value(scrape(running), "xenroll_vms_running_twice") == 0
    guest = running.played.sim.guests["g1"]
    running.played.sim._boot_guest(guest, "h3")
    running.played.publish()
    assert value(scrape(running), "xenroll_vms_running_twice") == 1


def test_the_lease_of_the_leading_controller_is_shown(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.service.metrics_machinery.LEASE_MS", 600_000)
    assert not [name for name, _ in scrape(running) if name == "xenroll_lease_age_seconds"]
    running.played.client.set("xr:controller", "somebody", px=500_000)
    age_s = value(scrape(running), "xenroll_lease_age_seconds", lease="controller")
    assert 100 <= age_s < 600


def test_a_host_has_the_heartbeat_of_the_worker_that_was_heard_last(running: Served) -> None:
    client = running.played.client
    name = "xenroll_worker_last_heartbeat_timestamp_seconds"
    assert not [one for one, _ in scrape(running) if one == name]
    for number, minute in ((1, 10), (2, 20), (3, 15)):
        key = f"rq:worker:{host_slug('h1')}-boot-{number}"
        client.hset(key, "last_heartbeat", f"2026-11-22T22:{minute}:00.000000Z")
        client.sadd("rq:workers", key)
    client.sadd("rq:workers", f"rq:worker:{host_slug('h2')}-boot-gone", "rq:worker:stranger-1")
    found = scrape(running)
    assert value(found, name, worker="h1") == (START + timedelta(minutes=20)).timestamp()
    assert [labels for one, labels in found if one == name] == [frozenset({("worker", "h1")})]


def test_what_the_server_denied_a_host_is_shown_and_a_strangers_name_is_not(
    running: Served,
) -> None:
    client = running.played.client
    client.acl_log_reset()
    name = "xenroll_host_last_denied_timestamp_seconds"
    assert not [one for one, _ in scrape(running) if one == name]
    set_user(client, "h1", "a password of h1's")
    attack(client, user("h1"), "a password of h1's")
    attack(client, 'evil"} 1', "guessed")
    found = scrape(running)
    assert {labels for one, labels in found if one == name} == {
        frozenset({("host", "h1"), ("why", "command")}),
        frozenset({("host", "other"), ("why", "auth")}),
    }
    assert abs(value(found, name, host="h1", why="command") - time.time()) < 60


def attack(client: redis.Redis, name: str, password: str) -> None:
    """Flushes everything as this user, in vain."""
    place = {**client.connection_pool.connection_kwargs, "username": name, "password": password}
    pool = redis.ConnectionPool(client.connection_pool.connection_class, **place)
    with redis.Redis(connection_pool=pool) as intruder, pytest.raises(redis.RedisError):
        intruder.flushall()


def test_what_notifications_wait_is_shown(running: Served) -> None:
    outbox = Outbox(running.played.client, "test")
    outbox.publish([TargetFacts(name="chat", kind="slack", where="hooks", severity="info")])
    event = event_of("1-0", "xsa-1", "XSA-1", "", Happening(at=START, kind="done", text=""))
    waits = Delivery(event=event, queued_at=START).model_dump_json()
    running.played.client.rpush("xr:notify:chat:queue", waits, waits)
    running.played.client.hset("xr:notify:chat:stats", "delivered", 7)
    found = scrape(running)
    assert value(found, "xenroll_notifications_waiting", target="chat") == 2
    oldest = "xenroll_notifications_oldest_waiting_timestamp_seconds"
    assert value(found, oldest, target="chat") == START.timestamp()
    total = "xenroll_notifications_total"
    assert value(found, total, target="chat", outcome="delivered") == 7
    assert value(found, total, target="chat", outcome="given_up") == 0


def test_metrics_need_a_token_and_no_guest_is_ever_a_label(running: Served) -> None:
    assert httpx.get(f"{running.url}/metrics", timeout=30).status_code == 401
    report = running.played.sim.report_of(running.played.sim.hosts["h1"])
    hostile = 'evil"} 1\nxenroll_vms_running_twice 99'
    guest = report.guests[0].model_copy(update={"name": hostile, "guest_class": hostile})
    changed = report.model_copy(update={"guests": (guest,)})
    running.played.client.set(keys.report("h1"), changed.model_dump_json())
    running.played.store.want("xsa-1", Wanted.PAUSE, "a", hostile, running.played.clock.now())
    found = scrape(running)
    assert value(found, "xenroll_vms_running_twice") == 0
    labels = {said for _, pairs in found for _, said in pairs}
    names = {*running.played.sim.guests, hostile}
    assert labels.isdisjoint(names)


# What is shipped beside it.


def rules(repository: Path) -> list[dict[str, Any]]:
    said = yaml.safe_load((repository / "deploy/alerts/xenroll.yml").read_text())
    return list(said["groups"][0]["rules"])


@pytest.mark.browser
def test_the_alert_rules_pass_their_unit_tests(repository: Path) -> None:
    assert shutil.which("promtool"), "no promtool on PATH: apt-get install prometheus"
    said = subprocess.run(
        ["promtool", "test", "rules", "xenroll-test.yml"],
        cwd=repository / "deploy/alerts",
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_has_its_words_a_test_and_a_chapter_in_the_runbook(repository: Path) -> None:
    tests = yaml.safe_load((repository / "deploy/alerts/xenroll-test.yml").read_text())["tests"]
    names = [one["name"] for one in tests]
    runbook = (repository / "deploy/runbook.md").read_text()
    for rule in rules(repository):
        alert = rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} <= set(rule["annotations"])
        assert rule["annotations"]["runbook_url"].endswith(f"#{alert.lower()}")
        assert f"## {alert}\n" in runbook
        assert f"{alert} fires" in names and f"{alert} keeps quiet" in names


SEEN_ELSEWHERE = {
    "xenroll_host_last_denied_timestamp_seconds",
    "xenroll_rollout_deadline_timestamp_seconds",  # with a deadline; test_service_embargo
    "xenroll_worker_last_heartbeat_timestamp_seconds",
    "xenroll_notifications_waiting",
    "xenroll_notifications_oldest_waiting_timestamp_seconds",
    "xenroll_notifications_total",
}
"""There only where there is something to count."""


def test_alerts_and_dashboard_use_only_metrics_that_there_are(
    running: Served, repository: Path
) -> None:
    running.played.run(running.played.controller(), rounds=30)
    running.played.client.set("xr:controller", "somebody", px=500_000)
    known = {name for name, _ in scrape(running)} | SEEN_ELSEWHERE
    running.played.client.delete("xr:controller")
    running.played.run(running.played.controller())
    known |= {name for name, _ in scrape(running)}
    dashboard = json.loads((repository / "deploy/dashboards/xenroll.json").read_text())
    used = [one["expr"] for panel in dashboard["panels"] for one in panel["targets"]]
    used += [rule["expr"] for rule in rules(repository)]
    named = {name for expr in used for name in re.findall(r"\bxenroll_\w+", expr)}
    assert named - known == set()


def test_every_command_in_the_runbook_exists(repository: Path) -> None:
    from tests.test_docs import all_commands

    known = {name for name, _ in all_commands()}
    runbook = (repository / "deploy/runbook.md").read_text()
    said = set(re.findall(r"`(xenroll (?:rollout|host|guest) [a-z]+)", runbook))
    assert said and said <= known
