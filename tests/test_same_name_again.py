"""A server that lost everything: the next rollout may have the name of one that hosts remember."""

from __future__ import annotations

import redis

from scheduler.rollout import RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW


def test_what_hosts_did_for_an_older_rollout_of_that_name_is_not_taken_for_this_ones(
    redis_client: redis.Redis,
) -> None:
    hosts = [host(f"h{n}", gib=16) for n in range(3)]
    guests = [guest(f"g{n}", f"h{n % 3}", gib=2) for n in range(6)]
    played = RedisFleet(redis_client, fleet(hosts, guests, canary_hosts=0, gates="none"))
    first = played.begin()
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    redis_client.flushall()
    played.sim.build_anew()
    played.sim.book = played.sim._begin()
    second = played.begin()
    assert (first.id, second.id) == ("xsa-1", "xsa-1")
    played.run(played.controller(), rounds=600)
    head = played.head()
    assert head.state is RolloutState.DONE, head.hold
    assert {one.build for one in played.sim.hosts.values()} == {NEW}
    assert all(one.boot == 3 for one in played.sim.hosts.values())
