"""A live patch whose revert was begun, and of which nobody hears in time: doubt withholds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from agents.keys import CLAIM_LUA, keys
from agents.wire import AttemptState, Order, RefusalCode
from scheduler.control import Controller
from scheduler.reverts import RevertState
from tests.redis_fleet import RedisFleet
from tests.revert_kit import asked, patched_fleet, reverts, rounds, row
from tests.service_kit import Served, served

EVERYWHERE = {f"h{n}": ("xsa1",) for n in range(4)}


@pytest.fixture
def service(redis_client: redis.Redis) -> Iterator[Served]:
    """Every host was live-patched by an earlier rollout."""
    with served(redis_client, patched_fleet(redis_client, livepatches=EVERYWHERE)) as made:
        yield made


def begun_at_the_last_moment(service: Served) -> tuple[Controller, Order]:
    """h2 has its leave to begin, and nothing in its journal, when its time is over."""
    played = service.played
    controller = played.controller()
    rounds(played, controller, 2)
    asked(service)
    controller.tick()
    [raw] = played.client.hvals(keys.orders("h2"))
    order = Order.model_validate_json(raw)
    assert claims(played, order) == b"run"
    without_a_sign(played, controller, 60)
    return controller, order


def claims(played: RedisFleet, order: Order) -> object:
    """What a worker of the host is told when it asks whether it may begin."""
    names = [keys.control(order.rollout_id), keys.orders(order.host), keys.claims(order.host)]
    script = played.client.register_script(CLAIM_LUA)
    return script(keys=names, args=[order.attempt_id, order.epoch, "now"])


def without_a_sign(played: RedisFleet, controller: Controller, rounds_of_5_s: int) -> None:
    """Everybody looks and reports, and the attempt is in no journal."""
    for _ in range(rounds_of_5_s):
        controller.tick()
        played.pass_time(5.0)
        played.publish()


def withheld(controller: Controller) -> list[str]:
    return [one.payload for one in controller.reverting.store.withheld().get("h2", ())]


def test_what_may_have_begun_is_not_called_failed_and_is_not_loaded_again(
    service: Served,
) -> None:
    controller, _ = begun_at_the_last_moment(service)
    [found] = reverts(controller)
    assert found.state is RevertState.ORDERED
    assert row(service)["state"] == "reverting"
    assert withheld(controller) == ["xsa1"]


def test_what_begins_after_all_is_seen_to_have_reverted(service: Served) -> None:
    controller, order = begun_at_the_last_moment(service)
    service.played.sim.start(order)
    rounds(service.played, controller)
    assert (row(service)["state"], withheld(controller)) == ("reverted", ["xsa1"])


def test_a_payload_that_is_gone_is_reverted_whatever_the_journal_says(service: Served) -> None:
    controller, _ = begun_at_the_last_moment(service)
    service.played.sim.shows("h2", livepatches=())
    rounds(service.played, controller)
    assert (row(service)["state"], withheld(controller)) == ("reverted", ["xsa1"])


def test_a_worker_that_asks_too_late_is_refused_and_only_that_is_a_failure(
    service: Served,
) -> None:
    controller, order = begun_at_the_last_moment(service)
    played = service.played
    assert claims(played, order) == b"aborted"
    reason = f"rollout {order.rollout_id} is aborted"
    played.sim.say(order, AttemptState.REFUSED, refusal=RefusalCode.ABORTED, reason=reason)
    rounds(played, controller)
    [found] = reverts(controller)
    assert (found.state, withheld(controller)) == (RevertState.FAILED, [])
    assert found.outcome == f"not started: {reason}"
    assert played.client.hgetall(keys.claims("h2")) == {}
    assert row(service)["state"] == "applied"


@pytest.mark.parametrize("lives", [1, 2, 3])
def test_another_controller_does_not_call_it_failed_either(service: Served, lives: int) -> None:
    begun_at_the_last_moment(service)
    for _ in range(lives):
        controller = service.played.controller()
        without_a_sign(service.played, controller, 60)
    [found] = reverts(controller)
    assert (found.state, withheld(controller)) == (RevertState.ORDERED, ["xsa1"])


def test_what_was_there_still_and_is_gone_in_the_same_boot_is_withheld_after_all(
    service: Served,
) -> None:
    played = service.played
    played.sim.shows("h2", livepatches=("xsa1", "xsa3"))
    controller = played.controller()
    rounds(played, controller, 2)
    asked(service)
    rounds(played, controller)
    assert (reverts(controller)[0].state, withheld(controller)) == (RevertState.FAILED, [])
    played.sim.shows("h2", livepatches=("xsa3",))
    rounds(played, controller)
    assert (row(service)["state"], withheld(controller)) == ("reverted", ["xsa1"])


def test_what_was_there_still_and_is_gone_with_another_boot_was_not_reverted(
    service: Served,
) -> None:
    played = service.played
    played.sim.shows("h2", livepatches=("xsa1", "xsa3"))
    controller = played.controller()
    rounds(played, controller, 2)
    asked(service)
    rounds(played, controller)
    played.sim.reboot_by_itself("h2")
    rounds(played, controller)
    [found] = reverts(controller)
    assert (found.state, withheld(controller)) == (RevertState.FAILED, [])
