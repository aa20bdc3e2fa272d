"""The service on a port of its own, in front of a fleet in virtual time."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import redis
import uvicorn

from planner.fleet import Fleet
from scheduler.advisory import Advisory
from scheduler.fleet_view import Scope
from scheduler.gates import GatePolicy
from scheduler.launch import Draw, Wish, begin
from scheduler.planning import plan_fleet
from scheduler.rollout import Rollout
from scheduler.service.access import Role
from scheduler.service.app import make_app, make_service
from scheduler.service.parts import Service
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW

REASON = {"reason": "a test of the service"}
_keys = itertools.count()


def small_fleet() -> Fleet:
    """Four hosts with eight guests, and one guest that is restarted with its host."""
    hosts = [host(f"h{n}", gib=16) for n in range(4)]
    guests = [
        guest(f"g{n}", f"h{n % 4}", gib=2, guest_class="pvh linux-6.1 x86_64") for n in range(8)
    ]
    guests += [guest("p0", "h0", gib=1, evacuation="restart")]
    return fleet(hosts, guests, canary_hosts=1, gates="canary")


def begun(
    played: RedisFleet,
    *advisories: Advisory,
    second_person: bool = False,
    gates: GatePolicy | None = None,
) -> Rollout:
    """Start a rollout with the fleet's document, as `xenroll rollout start` does."""
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.publish()
    reports = [played.sim.report_of(one) for one in played.sim.hosts.values()]
    policy, now = played.sim.fleet.policy, played.clock.now()
    scope = Scope((NEW,), policy, advisories=advisories)
    planned, document = plan_fleet(reports, played.sim.inventory, scope, now)
    name = ", ".join(one.id for one in advisories) or "XSA-1"
    wish = Wish(name, (NEW,), "security", advisories=advisories)
    notice_s = played.sim.inventory.notice_s
    drawn = Draw(wish, planned, document, now, notice_s=notice_s)
    drawn = replace(drawn, gates=gates) if gates else drawn
    return begin(played.store, drawn, second_person=second_person)


@dataclass
class Served:
    """A running service, and how to call it."""

    url: str
    service: Service
    played: RedisFleet
    tokens: dict[Role, str] = field(default_factory=dict)

    def token(self, role: Role, days: float = 1.0) -> str:
        """A token of this role, named after it."""
        now = self.played.clock.now()
        until = now + timedelta(days=days)
        return self.service.tokens.create(f"t-{role}", role, "test", now, until)

    def client(self, role: Role | None = Role.VIEWER, **headers: str) -> httpx.Client:
        """A program that calls the API; None: without a token."""
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)

    def get(self, path: str, role: Role | None = Role.VIEWER, **query: Any) -> httpx.Response:
        """One reading call."""
        with self.client(role) as client:
            given = {name: value for name, value in query.items() if value is not None}
            return client.get(path, params=given or None)

    def post(
        self,
        path: str,
        body: Any = None,
        role: Role | None = Role.ON_CALL,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One changing call, with a reason and a fresh key unless told otherwise."""
        sent = {**(headers or {}), "Idempotency-Key": key or f"test-key-{next(_keys)}"}
        with self.client(role, **sent) as client:
            return client.post(path, json=REASON if body is None else body)


def _server_of(service: Service) -> uvicorn.Server:
    """It listens on a free port once it runs."""
    config = uvicorn.Config(
        make_app(service),
        port=0,
        log_level="error",
        timeout_graceful_shutdown=2,
        lifespan="on",
        ws="none",
    )
    return uvicorn.Server(config)


@contextmanager
def served(
    client: redis.Redis,
    played: RedisFleet,
    max_age_s: float = 0.0,
    look_wait_s: float = 5.0,
    log: list[str] | None = None,
    **more: Any,
) -> Iterator[Served]:
    """The service on a free port, until the end of the block; a healthy one logs nothing.

    `look_wait_s`: long where hosts will answer, short where they will not.
    """
    healthy, log = log is None, [] if log is None else log
    waits: dict[str, Any] = {"look_wait_s": look_wait_s, "max_age_s": max_age_s}
    service = make_service(played.store, played.clock, os.urandom, log.append, **waits, **more)
    server = _server_of(service)
    thread = threading.Thread(target=server.run, name="service")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service ended at once"
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Served(f"http://127.0.0.1:{port}", service, played)
        running.tokens = {role: running.token(role) for role in Role}
        yield running
    finally:
        server.should_exit = True
        thread.join()
        assert not healthy or log == []


@contextmanager
def just_begun(client: redis.Redis) -> Iterator[Served]:
    """A service in front of a small fleet, with a rollout that was just started."""
    played = RedisFleet(client, small_fleet())
    begun(played)
    with served(client, played) as made:
        yield made


@contextmanager
def logged_in(running: Served, role: Role) -> Iterator[httpx.Client]:
    """A browser without scripts that is let in."""
    html_please = {"Accept": "text/html"}
    with httpx.Client(
        base_url=running.url, headers=html_please, timeout=30, follow_redirects=True
    ) as client:
        form = {"token": running.tokens[role], "next": "/rollouts"}
        answer = client.post("/login", data=form)
        assert answer.status_code == 200 and answer.url.path == "/rollouts"
        yield client


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, object]:
    """The problem that this answer is, with these words somewhere in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert (said["status"], said["code"]) == (status, code), answer.text
    assert said["request_id"] == answer.headers["x-request-id"], answer.text
    for word in words:
        assert word in answer.text, answer.text
    return dict(said)
