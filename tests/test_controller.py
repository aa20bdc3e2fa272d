"""The controller on a real server, with hosts that live in virtual time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from agents.keys import keys, queue_name
from agents.wire import Wanted
from scheduler.limits import Limits
from scheduler.rollout import Change, Rollout, RolloutState, Step
from scheduler.store import Conflict, NoRollout, Store, Taken
from tests.controller_kit import assert_complete, small, with_first_orders
from tests.redis_fleet import RedisFleet


def test_a_rollout_runs_to_its_end(redis_client: redis.Redis) -> None:
    played = small(redis_client)
    played.begin()
    played.run(played.controller())
    assert_complete(played)


@pytest.mark.parametrize("seed", range(4))
def test_controllers_killed_at_random_lose_and_double_nothing(
    redis_client: redis.Redis, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    played = small(redis_client)
    played.begin()
    controller = played.controller()
    for _ in range(3000):
        if chance.random() < 0.2:
            controller = played.controller()
        played.round(controller)
        if played.head().state is RolloutState.DONE:
            break
    assert_complete(played)


def test_two_controllers_at_once_do_no_harm(redis_client: redis.Redis) -> None:
    played = small(redis_client)
    played.begin()
    one, two = played.controller(), played.controller()
    for _ in range(3000):
        played.round(one)
        two.tick()
        if played.head().state is RolloutState.DONE:
            break
    assert_complete(played)


def test_an_order_is_written_before_its_job_and_each_job_is_sent_once(
    redis_client: redis.Redis,
) -> None:
    played, _ = with_first_orders(redis_client)
    ordered = {h: redis_client.hkeys(keys.orders(h)) for h in played.sim.hosts}
    queued = {
        h: Queue(queue_name(h), connection=redis_client, serializer=JSONSerializer).job_ids
        for h in played.sim.hosts
    }
    assert sum(map(len, ordered.values())) > 0
    assert {h: len(names) for h, names in ordered.items()} == {
        h: len(jobs) for h, jobs in queued.items()
    }


def test_a_lost_job_is_sent_again_while_its_order_stands(redis_client: redis.Redis) -> None:
    played, controller = with_first_orders(redis_client)
    for name in redis_client.keys("rq:*"):
        redis_client.delete(name)
    for _ in range(12):
        played.pass_time(5)
        played.publish()
        controller.tick()
    queues = [
        Queue(queue_name(h), connection=redis_client, serializer=JSONSerializer)
        for h in played.sim.hosts
    ]
    assert sum(len(queue.job_ids) for queue in queues) > 0


def test_a_job_that_rq_gave_up_on_does_not_keep_its_order_from_being_sent_again(
    redis_client: redis.Redis,
) -> None:
    played, controller = with_first_orders(redis_client)
    gave_up = list(redis_client.keys("rq:job:*"))
    for name in gave_up:
        redis_client.hset(name, "status", "failed")
    for host_name in played.sim.hosts:
        redis_client.delete(f"rq:queue:{queue_name(host_name)}")
    for _ in range(12):
        played.pass_time(5)
        played.publish()
        controller.tick()
    statuses = {redis_client.hget(name, "status") for name in gave_up}
    assert gave_up and statuses == {b"queued"}


def test_a_host_that_falls_silent_holds_its_steps_and_is_named(
    redis_client: redis.Redis,
) -> None:
    played = small(redis_client)
    played.begin()
    controller = played.controller(Limits(held_limit_s=3600))
    played.mute = {"h3"}
    for _ in range(200):
        played.round(controller)
    book = played.store.book(played.head().id)
    assert "h3" in book.hosts["h3"].silent
    touched = {name for a in played.sim.started for name in step_of(played, a).hosts}
    assert "h3" not in touched
    played.mute = set()
    played.run(controller)
    assert_complete(played)


def step_of(played: RedisFleet, attempt_id: str) -> Step:
    book = played.store.book(played.head().id)
    return book.steps[attempt_id.removeprefix(f"{book.rollout.id}-").rpartition("-a")[0]]


def test_only_what_changed_is_written(redis_client: redis.Redis) -> None:
    played = small(redis_client)
    rollout = played.begin()
    base = f"xr:rollout:{rollout.id}:steps"
    before = redis_client.hgetall(base)
    controller = played.controller()
    played.publish()
    controller.tick()
    played.publish()
    controller.tick()
    after = redis_client.hgetall(base)
    changed = [name for name in after if after[name] != before[name]]
    assert 0 < len(changed) <= 4 < len(after)


def test_a_server_that_lost_its_data_is_told_of_and_a_rollout_of_the_same_name_is_led(
    redis_client: redis.Redis,
) -> None:
    played = small(redis_client)
    played.begin()
    controller = played.controller()
    played.run(controller)
    redis_client.flushall()
    controller.tick()
    assert played.log[-1] == "xsa-1: Redis holds it no more: has the server lost its data?"
    anew = small(redis_client)
    anew.clock, anew.agents = played.clock, Counter({name: 1 for name in anew.sim.hosts})
    anew.begin()
    anew.run(controller)
    assert_complete(anew)


def test_a_host_belongs_to_one_rollout_at_a_time(redis_client: redis.Redis) -> None:
    played = small(redis_client)
    first = played.begin()
    with pytest.raises(Taken, match=f"h0 belongs to rollout {first.id}"):
        played.begin()


class DiesAtOnce(Store):
    """Never hears of what it wrote first."""

    def save(self, before: Rollout, change: Change, wanted: Wanted | None = None) -> Rollout:
        super().save(before, change, wanted)
        raise redis.ConnectionError("cut off")


def test_a_rollout_that_was_written_is_led_even_if_who_wrote_it_was_cut_off(
    redis_client: redis.Redis,
) -> None:
    played = small(redis_client)
    played.store = DiesAtOnce(redis_client, "person")
    with pytest.raises(redis.ConnectionError):
        played.begin()
    played.store = Store(redis_client, "test")
    played.run(played.controller())
    assert_complete(played)


def test_a_write_on_an_old_version_is_refused(redis_client: redis.Redis) -> None:
    from scheduler.rollout import Change

    played = small(redis_client)
    head = played.store.head(played.begin().id)
    change = Change(rollout=head.model_copy(update={"advisory": "XSA-2"}))
    one, two = Store(redis_client, "one"), Store(redis_client, "two")
    saved = one.save(head, change)
    assert saved.version == head.version + 1
    assert one.save(head, change) == saved, "the same write after a lost reply is the same write"
    with pytest.raises(Conflict):
        two.save(head, change)


def test_an_unknown_rollout_is_no_rollout(redis_client: redis.Redis) -> None:
    with pytest.raises(NoRollout):
        Store(redis_client, "test").book("nothing")
