"""Two parts of a fleet for two rollouts at the same time, under one controller."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from scheduler.control import Controller
from scheduler.limits import Limits
from scheduler.rollout import StepState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet


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
