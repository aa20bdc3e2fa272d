"""Two rollouts at the same time, over different hosts, under one controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import redis

from scheduler.control import Controller
from scheduler.limits import Limits
from scheduler.rollout import ENDED, RolloutState, StepState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW


def part(client: redis.Redis, letter: str) -> RedisFleet:
    """Hosts and guests of their own, alike but for their names: the same plan, the same steps."""
    hosts = [host(f"{letter}{n}", gib=16) for n in range(3)]
    guests = [guest(f"g-{letter}{n}", f"{letter}{n % 3}", gib=2) for n in range(3)]
    return RedisFleet(client, fleet(hosts, guests, canary_hosts=0, gates="none"))


class Both:
    """Two parts of a fleet, and the controller that leads a rollout over each."""

    def __init__(self, client: redis.Redis) -> None:
        self.parts = [part(client, letter) for letter in "ab"]
        self.parts[1].clock = self.parts[0].clock
        self.store = self.parts[0].store
        self.controller: Controller = self.parts[0].controller(Limits(stale_after_s=3600))
        first, second = (one.sim.inventory for one in self.parts)
        both = {"hosts": (*first.hosts, *second.hosts), "guests": (*first.guests, *second.guests)}
        self.controller.take_inventory(first.model_copy(update=both))

    def go_on(self, until: Callable[[], bool]) -> None:
        """Rounds of everybody until it is so."""
        for _ in range(2000):
            self.controller.tick()
            if until():
                return
            for one in self.parts:
                one.take_orders()
                one.sim.go_on_to(self.parts[0].clock.now())
                one.publish()
            self.parts[0].pass_time(5)
        pytest.fail("it does not come to that")

    def settles(self, rollout_id: str) -> set[str]:
        """Steps that wait for looks."""
        running = self.store.book(rollout_id).running()
        return {step.id for step in running if step.state is StepState.SETTLING}


def test_steps_of_the_same_number_are_settled_each_by_looks_at_its_own_hosts(
    redis_client: redis.Redis,
) -> None:
    both = Both(redis_client)
    slow, other = both.parts
    one, two = slow.begin().id, other.begin().id
    other.mute = set(other.sim.hosts)  # nothing begins there before
    both.go_on(lambda: bool(both.settles(one)))
    slow.mute, other.mute = set(slow.sim.hosts), set()  # its looks are a long time coming
    assert both.settles(one) <= set(both.store.book(two).steps)
    both.go_on(lambda: both.store.head(two).state in ENDED)
    slow.mute = set()
    both.go_on(lambda: both.store.head(one).state in ENDED)
    for played, name in zip(both.parts, (one, two), strict=True):
        assert both.store.head(name).state is RolloutState.DONE
        assert {h.build for h in played.sim.hosts.values()} == {NEW}
        running = Counter(guest for h in played.sim.hosts.values() for guest in h.domains)
        assert running == Counter(list(played.sim.guests))


def test_a_rollout_that_cannot_be_led_is_stopped_with_the_defect_and_the_other_goes_on(
    redis_client: redis.Redis,
) -> None:
    both = Both(redis_client)
    one, two = (played.begin().id for played in both.parts)
    redis_client.hdel(f"xr:rollout:{one}:hosts", "a1")  # no record that this program wrote
    both.go_on(lambda: both.store.head(two).state in ENDED)
    assert both.store.head(two).state is RolloutState.DONE
    head = both.store.head(one)
    assert head.state is RolloutState.STOPPED and head.hold is not None
    assert head.hold.reason == "a defect of xenroll, please report it: KeyError: 'a1'"
    told = [line for line in both.parts[0].log if "Traceback" in line]
    assert len(told) == 1, "it is said once"


def test_a_rollout_that_cannot_be_read_does_not_keep_others_from_their_end(
    redis_client: redis.Redis,
) -> None:
    both = Both(redis_client)
    one, two = (played.begin().id for played in both.parts)
    redis_client.hset(f"xr:rollout:{one}:steps", "x", "no record")
    both.go_on(lambda: both.store.head(two).state in ENDED)
    assert both.store.head(two).state is RolloutState.DONE
    assert any(line.startswith(f"{one}: Traceback") for line in both.parts[0].log)
