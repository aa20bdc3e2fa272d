"""A pause of a wave or a host on a real server: in force from its acknowledgement, and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from agents.keys import CLAIM_LUA, keys
from agents.wire import Kind, Order, Wanted
from planner.fleet import Fleet
from scheduler.rollout import HostState, RolloutState
from scheduler.store import Store
from scheduler.waves import PartWish, WaveState
from scheduler.wishes import Part, WishRefused, approve, let_starts_end, wish
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import START

NOW = START + timedelta(hours=1)


def small_fleet() -> Fleet:
    hosts = [host(f"h{n}", gib=16) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(8)]
    return fleet(hosts, guests, canary_hosts=1, gates="every", wave_hosts=2, max_hosts_away=2)


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    return RedisFleet(redis_client, small_fleet())


def want(played: RedisFleet, part: Part, wanted: Wanted, reason: str = "asked") -> None:
    wish(played.store, played.head().id, part, wanted, "on-call", reason, played.clock.now())


def starting(played: RedisFleet) -> Callable[[], set[str]]:
    """Asks which attempts may still be starting."""
    return lambda: played.store.being_started(played.head().id)


class Claims:
    """Orders of a rollout that no controller leads, and the claim that their hosts make."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.store = Store(client, "test")
        self._claim = client.register_script(CLAIM_LUA)
        self._number = 0
        client.hset(keys.control("r1"), mapping={"wanted": "run", "epoch": 1})

    def order(self, host: str, wave: int | None, **more: object) -> str:
        self._number += 1
        name = f"r1-s{self._number}-a1"
        facts = {"attempt_id": name, "rollout_id": "r1", "step_id": f"s{self._number}", "epoch": 1}
        order = Order.model_validate({"kind": Kind.MOVE, "host": host, "wave": wave} | facts | more)
        self.client.hset(keys.orders(host), name, order.model_dump_json())
        return name

    def claim(self, host: str, name: str, epoch: int = 1) -> str:
        names = [keys.control("r1"), keys.orders(host), keys.claims(host)]
        answer = self._claim(keys=names, args=[name, epoch, "now"])
        return bytes(answer).decode()

    def wish(self, part: str, wanted: Wanted) -> str:
        return self.store.wish("r1", part, PartWish(wanted=wanted, by="on-call", at=NOW))


@pytest.fixture
def claims(redis_client: redis.Redis) -> Claims:
    return Claims(redis_client)


def test_an_order_of_a_paused_wave_is_not_claimed_and_others_are(claims: Claims) -> None:
    second, third = claims.order("h1", 2), claims.order("h1", 3)
    old = claims.order("h1", None)
    assert claims.wish("wave:2", Wanted.PAUSE) == "ok"
    assert claims.claim("h1", second) == "paused"
    assert claims.claim("h1", third) == "run"
    assert claims.claim("h1", old) == "run", "an order of an older controller names no wave"
    assert claims.wish("wave:2", Wanted.RUN) == "ok"
    assert claims.claim("h1", second) == "run"


def test_nothing_leaves_or_reaches_a_paused_host(claims: Claims) -> None:
    out = claims.order("h1", 2, destination="h2")
    into = claims.order("h2", 2, destination="h1")
    past = claims.order("h2", 2, destination="h3")
    reboot = claims.order("h1", 2, kind=Kind.REBOOT)
    start = claims.order("h1", 2, kind=Kind.START)
    claims.wish("host:h1", Wanted.PAUSE)
    paused = [("h1", out), ("h2", into), ("h1", reboot), ("h1", start)]
    assert {claims.claim(*one) for one in paused} == {"paused"}
    assert claims.claim("h2", past) == "run"


@pytest.mark.parametrize("part", ["wave:2", "host:h1"])
def test_after_an_abort_only_what_brings_guests_back_is_claimed(claims: Claims, part: str) -> None:
    kinds = [Kind.MOVE, Kind.STOP, Kind.REBOOT, Kind.LIVEPATCH, Kind.START, Kind.MEND]
    orders = {kind: claims.order("h1", 2, kind=kind) for kind in kinds}
    assert claims.wish(part, Wanted.ABORT) == "ok"
    answers = {kind: claims.claim("h1", name) for kind, name in orders.items()}
    assert [kind for kind, answer in answers.items() if answer == "run"] == [Kind.START, Kind.MEND]
    assert set(answers.values()) == {"run", "aborted"}
    assert claims.wish(part, Wanted.RUN) == "part aborted"


def test_a_pause_of_everything_holds_whatever_is_wanted_of_its_parts(claims: Claims) -> None:
    order = claims.order("h1", 2)
    claims.wish("wave:2", Wanted.RUN)
    claims.store.want("r1", Wanted.PAUSE, "on-call", "", NOW)
    assert claims.claim("h1", order) == "paused"
    claims.store.want("r1", Wanted.ABORT, "on-call", "", NOW)
    assert claims.wish("wave:2", Wanted.RUN) == "aborted"


@pytest.mark.parametrize("part", ["wave:2", "host:h1"])
def test_a_pause_of_a_part_keeps_no_guest_down_once_the_rollout_is_aborted(
    claims: Claims, part: str
) -> None:
    claims.wish(part, Wanted.PAUSE)
    claims.store.want("r1", Wanted.ABORT, "on-call", "", NOW)
    orders = {k: claims.order("h1", 2, kind=k, epoch=2) for k in (Kind.START, Kind.MOVE)}
    answers = {kind: claims.claim("h1", name, epoch=2) for kind, name in orders.items()}
    assert answers == {Kind.START: "run", Kind.MOVE: "aborted"}


def test_nothing_of_a_paused_wave_is_claimed_after_the_acknowledgement_without_a_controller(
    played: RedisFleet, redis_client: redis.Redis
) -> None:
    played.begin()
    controller = played.controller()
    for _ in range(4):  # reports are fresh, then the first orders are written
        controller.tick()
        played.publish()
    waiting = [name for h in played.sim.hosts for name in redis_client.hkeys(keys.orders(h))]
    assert waiting and not played.sim.started
    want(played, Part(wave=1), Wanted.PAUSE)
    assert let_starts_end(starting(played), lambda: 0.0) == 0
    played.take_orders()  # the controller is dead
    assert not played.sim.started
    assert not any(redis_client.hkeys(keys.claims(h)) for h in played.sim.hosts)


def test_a_claim_from_before_the_pause_is_waited_for_until_it_has_started(
    played: RedisFleet, redis_client: redis.Redis
) -> None:
    rollout = played.begin()
    redis_client.hset(keys.claims("h1"), f"{rollout.id}-g1-1-a1", "2026-11-22T22:00:00Z")
    ticks = iter([0.0, 0.1, 0.2, 9.0])
    assert let_starts_end(starting(played), lambda: next(ticks)) == 1
    redis_client.hset(keys.claims("h1"), f"{rollout.id}-g1-1-a1", "settled")
    assert let_starts_end(starting(played), lambda: 0.0) == 0


def test_a_controller_started_later_takes_up_the_pause_and_the_resume(played: RedisFleet) -> None:
    rollout = played.begin()
    played.run(played.controller(), rounds=3)
    started = dict(played.sim.started)
    want(played, Part(wave=1), Wanted.PAUSE, "lunch")
    want(played, Part(host="h2"), Wanted.PAUSE, "smoke")
    second = played.controller()
    played.run(second, rounds=200)
    book = played.store.book(rollout.id)
    wave, h2 = book.waves[1].paused, book.hosts["h2"].paused
    assert wave and wave.reason == "wave 1 is paused: lunch" and wave.by == "on-call"
    assert h2 and h2.reason == "h2 is paused: smoke"
    assert played.sim.started == started, "what is behind wave 1 waits for it"
    third = played.controller()
    want(played, Part(wave=1), Wanted.RUN)
    want(played, Part(host="h2"), Wanted.RUN)
    played.run(third)
    assert played.head().state is RolloutState.DONE
    states = {w.state for w in played.store.book(rollout.id).waves.values()}
    assert states == {WaveState.ENDED}


def test_an_aborted_host_is_open_and_nobodys_when_the_rollout_has_ended(
    played: RedisFleet,
) -> None:
    rollout = played.begin()
    controller = played.controller()
    played.run(controller, rounds=6)
    want(played, Part(host="h2"), Wanted.ABORT, "bad DIMM")
    played.run(controller)
    book = played.store.book(rollout.id)
    assert book.rollout.state is RolloutState.DONE
    assert book.hosts["h2"].state is HostState.OPENED
    assert not any(one.closed for one in book.hosts.values())
    assert played.store.owners() == {}, "nothing is left closed, or owned, without a rollout"


def test_what_makes_no_sense_is_refused_in_words(played: RedisFleet) -> None:
    rollout = played.begin()
    played.run(played.controller(), rounds=4)
    refusals = [
        (Part(wave=9), Wanted.PAUSE, "no_wave", "has no wave 9; there are 1, 2, 3"),
        (Part(host="h9"), Wanted.PAUSE, "no_host", "has no host h9"),
        (Part(wave=2), Wanted.RUN, "not_paused", "wave 2 is not paused"),
    ]
    for part, wanted, code, words in refusals:
        with pytest.raises(WishRefused, match=words) as refused:
            want(played, part, wanted)
        assert refused.value.code == code
    want(played, Part(wave=2), Wanted.PAUSE)
    with pytest.raises(WishRefused, match="wave 2 is paused already"):
        want(played, Part(wave=2), Wanted.PAUSE)
    want(played, Part(wave=2), Wanted.ABORT)
    with pytest.raises(WishRefused, match="wave 2 was aborted, which cannot be taken back"):
        want(played, Part(wave=2), Wanted.RUN)
    with pytest.raises(WishRefused, match="wave 1 is open already"):
        approve(played.store, rollout.id, 1, "on-call", "", NOW)
    played.run(played.controller())
    with pytest.raises(WishRefused, match="has ended"):
        want(played, Part(wave=1), Wanted.PAUSE)
