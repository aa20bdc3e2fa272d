"""A host that is back and cannot be read, as the real controller on a real server sees it."""

from __future__ import annotations

import redis

from scheduler.holds import holds
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet


def test_a_dead_xenstored_is_said_within_seconds_and_waited_for(redis_client: redis.Redis) -> None:
    seen = fleet([host("h0"), host("h1")], [guest("g", "h0")], max_hosts_away=1)
    dead = {"trouble": ("xl list -v: cannot connect to xenstore: No such file or directory",)}
    played = RedisFleet(redis_client, seen, comes_back={"h0": dead, "h1": dead})
    played.begin()
    controller = played.controller(Limits())
    while not (back := [one for one in played.sim.hosts.values() if one.boot == 2]):
        played.round(controller)
    name = back[0].name
    for _ in range(4):  # of five seconds each
        played.round(controller)
    book = played.store.book(played.head().id)
    assert book.rollout.state is RolloutState.RUNNING
    (held,) = [one for one in holds(book) if one.what == f"host {name}"]
    assert held.reason.startswith(f"{name} is back, and its xenstored does not answer: xl list -v")
    for one in played.sim.hosts.values():
        one.trouble = ()
    played.sim.comes_back = {}
    played.run(controller)
    assert played.head().state is RolloutState.DONE
    hosts = played.store.book(played.head().id).hosts.values()
    assert {one.state for one in hosts} == {HostState.FIXED}
