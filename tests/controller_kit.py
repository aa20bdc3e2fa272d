"""A small fleet on a real server, and a rollout of it that is complete."""

from __future__ import annotations

from collections import Counter

import redis

from agents.keys import keys
from scheduler.control import Controller
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW


def small(client: redis.Redis, **sim: object) -> RedisFleet:
    hosts = [host(f"h{n}", gib=16) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(8)]
    guests += [guest("p0", "h0", gib=1, evacuation="restart")]
    return RedisFleet(client, fleet(hosts, guests, canary_hosts=1, gates="canary"), **sim)


def with_first_orders(client: redis.Redis) -> tuple[RedisFleet, Controller]:
    """A rollout whose first orders are written down and sent; no host has taken one yet."""
    played = small(client)
    played.begin()
    controller = played.controller()
    for _ in range(2):  # the first report that a controller finds may be of any age
        played.publish()
        controller.tick()
    return played, controller


def assert_complete(played: RedisFleet) -> None:
    book = played.store.book(played.head().id)
    assert book.rollout.state is RolloutState.DONE
    assert {h.build for h in played.sim.hosts.values()} == {NEW}
    assert all(h.boot == 2 for h in played.sim.hosts.values())
    assert {h.state for h in book.hosts.values()} == {HostState.FIXED}
    running = Counter(name for h in played.sim.hosts.values() for name in h.domains)
    assert running == Counter(list(played.sim.guests))
    assert not played.store.owners(), "the hosts are free for the next rollout"
    left = [h for h in played.sim.hosts if played.client.hlen(keys.orders(h))]
    assert not left, "settled orders are off their hosts' lists"
