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
from scheduler.control import Controller
from scheduler.limits import Limits
from scheduler.rollout import Change, HostState, Rollout, RolloutState, Step
from scheduler.store import Conflict, NoRollout, Store, Taken
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


def test_a_pause_holds_the_hosts_even_while_no_controller_runs(
    redis_client: redis.Redis,
) -> None:
    played, controller = with_first_orders(redis_client)
    assert any(redis_client.hlen(keys.orders(h)) for h in played.sim.hosts)
    played.want(Wanted.PAUSE)
    played.take_orders()
    assert not played.sim.started, "what was ordered but not claimed does not start"
    for _ in range(20):
        played.round(controller)
    assert played.head().state is RolloutState.PAUSED
    assert not played.sim.started
    played.want(Wanted.RUN)
    played.run(controller)
    assert_complete(played)


@pytest.mark.parametrize("rounds", [1, 3, 8, 20, 60, 100, 140])
def test_an_abort_ends_with_open_hosts_and_every_guest_running(
    redis_client: redis.Redis, rounds: int
) -> None:
    played = small(redis_client)
    played.begin()
    controller = played.controller()
    for _ in range(rounds):
        played.round(controller)
    played.want(Wanted.ABORT)
    played.run(controller)
    assert played.head().state is RolloutState.ABORTED
    book = played.store.book(played.head().id)
    assert not any(h.closed for h in book.hosts.values())
    running = Counter(name for h in played.sim.hosts.values() for name in h.domains)
    assert running == Counter(list(played.sim.guests))


def test_a_doubt_pauses_the_hosts_in_the_same_write(redis_client: redis.Redis) -> None:
    played = small(redis_client, faults={"g1": "twice"})
    played.begin()
    controller = played.controller()
    for _ in range(200):
        played.round(controller)
        if played.head().state is RolloutState.STOPPED:
            break
    assert played.store.control(played.head().id)["wanted"] == "pause"
    assert any("two copies" in line for line in played.log)


def until_stopped(played: RedisFleet, controller: Controller) -> None:
    for _ in range(200):
        played.round(controller)
        if played.head().state is RolloutState.STOPPED:
            return
    raise AssertionError("it was to stop")


def test_a_resume_said_before_the_controllers_next_round_is_not_lost(
    redis_client: redis.Redis,
) -> None:
    played = small(redis_client, faults={"g1": "twice"})
    played.begin()
    controller = played.controller()
    until_stopped(played, controller)
    played.want(Wanted.RUN)
    controller.tick()
    assert any("resumed: by on-call" in line for line in played.log)


def test_an_abort_said_while_a_stop_is_being_written_stands(redis_client: redis.Redis) -> None:
    played = small(redis_client, faults={"g1": "twice"})
    played.begin()
    controller = played.controller()
    save = controller.parts.store.save

    def while_it_stops(before: Rollout, change: Change, wanted: Wanted | None = None) -> Rollout:
        if wanted is Wanted.PAUSE:
            played.want(Wanted.ABORT)
        return save(before, change, wanted)

    controller.parts.store.save = while_it_stops  # type: ignore[method-assign]
    until_stopped(played, controller)
    assert played.store.control(played.head().id)["wanted"] == "abort"
    controller.tick()
    assert played.head().state is RolloutState.ABORTING


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
