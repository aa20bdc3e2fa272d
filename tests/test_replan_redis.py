"""Planning the rest around what is under way, by the real controller on a real server."""

from __future__ import annotations

from collections import Counter

import redis

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.control import Controller
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW


def wide_fleet() -> Fleet:
    hosts = [host(f"h{n}", gib=32) for n in range(6)]
    guests = [guest(f"g{n}", f"h{n % 6}", gib=1 + n % 4) for n in range(30)]
    return fleet(hosts, guests, max_hosts_away=3)


def kept(played: RedisFleet) -> set[Kind]:
    """Kinds of steps that were ordered under an older plan than the one that they are in now."""
    book = played.store.book("xsa-1")
    return {
        step.kind
        for step in book.steps.values()
        if step.attempt and not step.id.startswith((f"g{step.generation}-", "back-"))
    }


def test_a_failed_move_is_planned_around_and_nothing_is_started_twice(
    redis_client: redis.Redis,
) -> None:
    told = {"faults": {"g7": "refuses", "g14": "refuses"}, "consents": ["g7", "g14"]}
    played = RedisFleet(redis_client, wide_fleet(), **told)
    played.begin()
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    assert {one.build for one in played.sim.hosts.values()} == {NEW}
    names = Counter(name for one in played.sim.hosts.values() for name in one.domains)
    assert names == Counter(list(played.sim.guests))
    assert played.head().generation > 1 and kept(played)


def test_a_new_controller_in_every_round_comes_to_the_same_end(redis_client: redis.Redis) -> None:
    played = RedisFleet(redis_client, wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    played.begin()
    limits = Limits(stale_after_s=1e6)  # a new one has heard of nobody yet
    for number in range(2000):
        if number % 3 == 0:
            controller = played.controller(limits)
            controller.desk.refresh()
            played.publish()
        played.round(controller)
        if played.head().state is RolloutState.DONE:
            break
    assert played.head().state is RolloutState.DONE and played.head().generation > 1
    names = Counter(name for one in played.sim.hosts.values() for name in one.domains)
    assert names == Counter(list(played.sim.guests))


def test_a_plan_that_was_written_by_a_controller_that_died_then_is_written_over(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    played.begin()
    played.store.client.set("xr:rollout:xsa-1:plan:2", b"of somebody who died")
    played.store.client.set("xr:rollout:xsa-1:fleet:2", b"of somebody who died")
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    assert b"xenroll.plan/1" in (played.store.plan_document("xsa-1", 2) or b"")


def test_without_the_old_plans_documents_what_runs_ends_before_the_rest_is_planned(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    played.begin()
    played.store.client.delete("xr:rollout:xsa-1:plan:1", "xr:rollout:xsa-1:fleet:1")
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE and played.head().generation > 1
    assert any("around what is under way" in line for line in played.log)
    assert kept(played) == set()


def test_a_host_lost_in_its_reboot_stays_out_and_the_others_go_on(
    redis_client: redis.Redis,
) -> None:
    played = RedisFleet(redis_client, wide_fleet(), lost_hosts=["h2"])
    played.begin()
    played.run(played.controller(Limits(reboot_limit_s=600, max_lost_hosts=1)))
    assert played.head().state is RolloutState.DONE
    book = played.store.book("xsa-1")
    assert book.hosts["h2"].lost and book.hosts["h2"].state is HostState.BLOCKED
    others = {one.state for one in book.hosts.values() if one.name != "h2"}
    assert others == {HostState.FIXED}


def test_a_host_that_falls_silent_is_planned_around_and_later_planned_in(
    redis_client: redis.Redis,
) -> None:
    hosts = [host(f"h{n}", gib=32) for n in range(5)]
    guests = [guest(f"g{n}", f"h{n % 5}", gib=2) for n in range(10)]
    seen = fleet(hosts, guests, max_hosts_away=2)
    played = RedisFleet(redis_client, seen, faults={"g7": "refuses"}, consents=["g7"])
    played.begin()
    controller = played.controller()
    for _ in range(3):
        played.round(controller)
    moving = [s for s in played.store.book("xsa-1").running() if s.kind is Kind.MOVE]
    untouched = {name for step in moving for name in step.hosts}
    (silent, *_) = sorted(set(played.sim.hosts) - untouched)
    played.mute = {silent}
    played.run(controller, rounds=500)
    book = played.store.book("xsa-1")
    assert book.rollout.state is RolloutState.RUNNING and book.hosts[silent].aside
    others = {one.state for one in book.hosts.values() if one.name != silent}
    assert others == {HostState.FIXED}
    played.mute = set()
    played.run(controller)
    assert played.head().state is RolloutState.DONE
    assert {one.build for one in played.sim.hosts.values()} == {NEW}
    names = Counter(name for one in played.sim.hosts.values() for name in one.domains)
    assert names == Counter(list(played.sim.guests))


def one_silent_when_all_are_asked(client: redis.Redis) -> tuple[RedisFleet, Controller]:
    """A rollout that is about to be planned anew, and `h5` will not answer that it looked."""
    played = RedisFleet(client, wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    played.begin()
    controller = played.controller()
    while played.head().state is not RolloutState.REPLANNING:
        if not played.mute and any("g7" in line for line in played.log):
            played.mute = {"h5"}
        played.round(controller, step_s=1.0)
        assert len(played.log) < 500
    return played, controller


def test_a_rest_that_waits_for_a_silent_host_is_planned_once_that_is_set_aside(
    redis_client: redis.Redis,
) -> None:
    played, controller = one_silent_when_all_are_asked(redis_client)
    while played.head().state is RolloutState.REPLANNING:
        played.round(controller)
    assert played.head().state is RolloutState.RUNNING and played.head().generation > 1
    played.mute = set()
    played.run(controller)
    assert played.head().state is RolloutState.DONE


def test_looks_for_a_plan_that_a_pause_put_off_are_no_reason_to_stop_when_it_is_made(
    redis_client: redis.Redis,
) -> None:
    played, controller = one_silent_when_all_are_asked(redis_client)
    played.round(controller, step_s=1.0)
    hosts = played.store.book("xsa-1").hosts.values()
    assert [one.name for one in hosts if one.state is HostState.REBOOTING], "and is asked later"
    played.want(Wanted.PAUSE)
    played.mute = set()
    for _ in range(200):
        played.round(controller)
    assert played.head().state is RolloutState.PAUSED
    played.want(Wanted.RUN)
    played.run(controller)
    assert [line for line in played.log if "stopped: " in line] == []
    assert played.head().state is RolloutState.DONE
