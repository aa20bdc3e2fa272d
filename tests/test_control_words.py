"""What people say reaches the hosts in the very write that it belongs to, and is not lost."""

from __future__ import annotations

from collections import Counter

import pytest
import redis

from agents.keys import keys
from agents.wire import Wanted
from scheduler.rollout import Change, Rollout, RolloutState
from tests.controller_kit import assert_complete, small, with_first_orders


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
    played.run_until_stopped(controller)
    assert played.store.control(played.head().id)["wanted"] == "pause"
    assert any("two copies" in line for line in played.log)


def test_a_resume_said_before_the_controllers_next_round_is_not_lost(
    redis_client: redis.Redis,
) -> None:
    played = small(redis_client, faults={"g1": "twice"})
    played.begin()
    controller = played.controller()
    played.run_until_stopped(controller)
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
    played.run_until_stopped(controller)
    assert played.store.control(played.head().id)["wanted"] == "abort"
    controller.tick()
    assert played.head().state is RolloutState.ABORTING
