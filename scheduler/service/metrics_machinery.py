"""Metrics of xenroll's own parts: who leads, workers, queues, notifications, followers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agents.keys import host_slug, queue_name
from scheduler.lease import LEASE_KEY, LEASE_MS
from scheduler.notify.outbox import LEASE_KEY as NOTIFIER_KEY
from scheduler.notify.outbox import Outbox
from scheduler.service.metrics_denied import denied
from scheduler.service.parts import Service
from scheduler.service.views import FleetView

LEASES = {"controller": LEASE_KEY, "notifier": NOTIFIER_KEY}


def machinery(parts: Service, fleet: FleetView) -> Iterator[Metric]:
    """Every family of them."""
    client = parts.store.client
    yield _leases(client)
    yield _heartbeats(client, fleet)
    yield _queued(client, fleet)
    yield denied(client, fleet.hosts, datetime.now(UTC).timestamp())
    yield from _notifications(parts)
    followers = "Dashboards that follow the live feed of this process."
    yield GaugeMetricFamily("xenroll_live_followers", followers, value=parts.feed.listeners)


def _leases(client: redis.Redis) -> Metric:
    words = "Since who leads renewed the lease; no series: nobody leads."
    family = GaugeMetricFamily("xenroll_lease_age_seconds", words, labels=["lease"])
    for name, key in LEASES.items():
        left_ms = client.pttl(key)
        if left_ms >= 0:
            family.add_metric([name], (LEASE_MS - left_ms) / 1000)
    return family


def _heartbeats(client: redis.Redis, fleet: FleetView) -> Metric:
    """One series a host: of its workers, which come and go, the one that was heard last."""
    family = GaugeMetricFamily(
        "xenroll_worker_last_heartbeat_timestamp_seconds",
        "When a worker of this host was last heard; no series: it has none.",
        labels=["worker"],
    )
    hosts = {host_slug(host): host for host in fleet.hosts}
    names = sorted(cast("set[bytes]", client.smembers("rq:workers")))
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hget(name.decode(), "last_heartbeat")
        heard = cast("list[bytes | None]", pipe.execute()) if names else []
    newest: dict[str, float] = {}
    for name, raw in zip(names, heard, strict=True):
        host = hosts.get(name.decode().removeprefix("rq:worker:").partition("-")[0])
        if host is not None and raw is not None:
            newest[host] = max(newest.get(host, 0.0), _timestamp(raw.decode()))
    for host in sorted(newest):
        family.add_metric([host], newest[host])
    return family


def _timestamp(text: str) -> float:
    """A time as RQ writes it, in UTC; 0 where it is none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _queued(client: redis.Redis, fleet: FleetView) -> Metric:
    with client.pipeline(transaction=False) as pipe:
        for host in fleet.hosts:
            pipe.llen(f"rq:queue:{queue_name(host)}")
        queued = sum(pipe.execute()) if fleet.hosts else 0
    words = "Jobs that wait in all hosts' queues."
    family = GaugeMetricFamily("xenroll_queue_jobs", words, labels=["queue", "state"])
    family.add_metric(["hosts", "queued"], queued)
    return family


def _notifications(parts: Service) -> Iterator[Metric]:
    found = Outbox(parts.store.client, parts.store.writer).status()
    waiting = GaugeMetricFamily(
        "xenroll_notifications_waiting", "Notifications not delivered yet.", labels=["target"]
    )
    oldest = GaugeMetricFamily(
        "xenroll_notifications_oldest_waiting_timestamp_seconds",
        "Since when the oldest of them waits.",
        labels=["target"],
    )
    sent = CounterMetricFamily(
        "xenroll_notifications", "Notifications that ended.", labels=["target", "outcome"]
    )
    for one in found:
        waiting.add_metric([one.name], one.waiting)
        if one.oldest_waiting_at is not None:
            oldest.add_metric([one.name], one.oldest_waiting_at.timestamp())
        sent.add_metric([one.name, "delivered"], one.delivered)
        sent.add_metric([one.name, "given_up"], one.given_up)
    yield from (waiting, oldest, sent)
