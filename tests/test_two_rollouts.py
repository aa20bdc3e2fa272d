"""Two rollouts at the same time, over different hosts, under one controller."""

from __future__ import annotations

from collections import Counter

import redis

from scheduler.rollout import ENDED, RolloutState
from tests.sim import NEW
from tests.two_parts import Both


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
