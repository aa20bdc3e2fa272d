"""An order that wakes or starts a guest counts for a short time: others may help it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from agents.keys import CLAIM_LUA, keys
from agents.wire import Kind, MendAction, Order
from scheduler.rollout import ENDED, Change
from scheduler.store import Store
from scheduler.wake_gate import BRIEF_S
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import uuid_of


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    hosts = [host("h0", gib=16), host("h1", gib=16), host("h2", gib=16, reboot=False)]
    guests = [guest("p0", "h0", gib=2, evacuation="restart"), guest("g1", "h1", gib=2)]
    made = RedisFleet(redis_client, fleet(hosts, guests, canary_hosts=0, gates="none"))
    made.begin()
    return made


def starts(played: RedisFleet) -> list[str]:
    """Attempts at starting p0 that its host has begun."""
    return [o.attempt_id for _, o in played.sim.ordered if o.kind is Kind.START]


def untils(played: RedisFleet) -> list[bytes]:
    """What keeps brief orders alive."""
    return list(played.client.scan_iter(match=keys.until("h0", "*")))


def rounds(played: RedisFleet, until: Callable[[], bool]) -> None:
    controller = played.controller()
    for _ in range(1000):
        controller.tick()
        if until():
            return
        played.take_orders()
        played.pass_time(2)
        played.publish()
    pytest.fail("it does not come to that")


def test_an_order_to_start_a_guest_that_lay_too_long_is_given_anew(played: RedisFleet) -> None:
    rounds(played, lambda: bool(untils(played)))
    (name,) = untils(played)
    assert 0 < int(str(played.client.pttl(name))) <= BRIEF_S * 1000
    old = name.decode().rpartition(":")[2]
    played.client.delete(name)  # as when its time is over
    rounds(played, lambda: played.head().state in ENDED)
    (begun,) = starts(played)
    assert begun != old and played.sim.where("p0") == ("h0",)
    assert not played.client.exists(keys.brief("h0"))


def test_a_guest_that_was_started_elsewhere_meanwhile_is_not_started_again(
    played: RedisFleet,
) -> None:
    rounds(played, lambda: bool(untils(played)))
    played.client.delete(*untils(played))
    played.sim._boot_guest(played.sim.guests["p0"], "h2")
    played.publish()
    rounds(played, lambda: played.head().state in ENDED)
    assert not starts(played) and played.sim.where("p0") == ("h2",)


def order(kind: Kind, mend: MendAction | None = None) -> Order:
    facts = {"attempt_id": "r1-s1-a1", "rollout_id": "r1", "step_id": "s1", "epoch": 1}
    about = {"host": "h0", "guest": "p0", "guest_uuid": uuid_of("p0"), "mend": mend, "domid": 3}
    return Order.model_validate(facts | {"kind": kind} | about)


def claimed(played: RedisFleet, given: Order) -> str:
    client = played.client
    client.hset(keys.control("r1"), mapping={"wanted": "run", "epoch": 1})
    names = [keys.control("r1"), keys.orders("h0"), keys.claims("h0")]
    return bytes(client.eval(CLAIM_LUA, 3, *names, given.attempt_id, 1, "now")).decode()


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (order(Kind.START), "stale"),
        (order(Kind.MEND, MendAction.RESUME_SOURCE), "stale"),
        (order(Kind.MEND, MendAction.UNPAUSE), "stale"),
        (order(Kind.MEND, MendAction.DESTROY_SOURCE), "run"),
        (order(Kind.MOVE), "run"),
    ],
)
def test_only_what_wakes_or_starts_a_guest_is_brief(
    played: RedisFleet, given: Order, answer: str
) -> None:
    store = Store(played.client, "test")
    store.save(played.head(), Change(orders=(given,)))
    played.client.delete(keys.until("h0", given.attempt_id))
    assert claimed(played, given) == answer


def test_an_order_of_an_older_controller_knows_of_no_end(played: RedisFleet) -> None:
    given = order(Kind.START)
    played.client.hset(keys.orders("h0"), given.attempt_id, given.model_dump_json())
    assert claimed(played, given) == "run"
