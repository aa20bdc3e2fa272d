"""A server that lost everything: the next rollout may have the name of one that hosts remember."""

from __future__ import annotations

import redis

from agents.wire import AttemptState, Order, RefusalCode
from scheduler.rollout import RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW, Sim


class Remembering(Sim):
    """Its hosts know a life of the rollout of this name, as `agents.steprun.admit` does."""

    known = 2

    def start(self, order: Order) -> None:
        if order.epoch < self.known:
            reason = "this host knows a newer life of the rollout"
            self.say(order, AttemptState.REFUSED, refusal=RefusalCode.STALE, reason=reason)
            return
        super().start(order)


class OldHosts(RedisFleet):
    """Hosts with a past."""

    kind = Remembering


def old_hosts(client: redis.Redis, known: int) -> OldHosts:
    hosts = [host("h0", gib=16), host("h1", gib=16)]
    guests = [guest("g0", "h0", gib=2)]
    played = OldHosts(client, fleet(hosts, guests, canary_hosts=0, gates="none"))
    assert isinstance(played.sim, Remembering)
    played.sim.known = known
    played.begin()
    played.run(played.controller(), rounds=400)
    return played


def test_an_abort_of_an_older_rollout_of_that_name_does_not_fence_this_one(
    redis_client: redis.Redis,
) -> None:
    assert old_hosts(redis_client, known=3).head().state is RolloutState.DONE


def test_a_host_that_knows_a_newer_life_all_the_same_is_named(redis_client: redis.Redis) -> None:
    head = old_hosts(redis_client, known=10**12).head()
    assert head.state is RolloutState.STOPPED and head.hold is not None
    assert "refuses it again and again: this host knows a newer life" in head.hold.reason


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
