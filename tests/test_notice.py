"""Notice before a move: given once, early enough, waited for, and taken back when it is over."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta

import redis

from agents.keys import keys
from agents.notices import Notice
from agents.wire import Kind, Wanted
from scheduler.control import Controller
from scheduler.rollout import RolloutState
from tests.fleets import small_fleet as random_fleet
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet
from tests.sim import Sim

NOTICE_S = 90.0


def told_sim(made: Sim, notice_s: float = NOTICE_S) -> Sim:
    """The same rollout, begun under an inventory that wants notices."""
    made.book.rollout = made.book.rollout.model_copy(update={"notice_s": notice_s})
    return made


def notices(sim: Sim) -> dict[str, list[datetime]]:
    """Guest -> when it was told."""
    found: dict[str, list[datetime]] = {}
    for line in sim.happenings:
        if line.kind == "notice":
            found.setdefault(line.guest or "", []).append(line.at)
    return found


def too_early(sim: Sim) -> list[str]:
    """Guests whose move or shutdown was ordered without a notice of its own that was old enough."""
    told = notices(sim)
    touched: Counter[str] = Counter()
    wrong = []
    first = {}
    for at, order in sim.ordered:
        if order.kind in (Kind.MOVE, Kind.STOP) and order.guest:
            if order.step_id not in first:
                first[order.step_id] = at
                touched[order.guest] += 1
            given = [one for one in told.get(order.guest, []) if one <= at]
            if not given or (at - given[-1]).total_seconds() < NOTICE_S:
                wrong.append(f"{order.guest} at {at}")
    return wrong


def test_no_guest_is_moved_or_shut_down_before_it_was_told_for_long_enough() -> None:
    sim = told_sim(Sim(small_fleet()))
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert any(order.kind is Kind.STOP for _, order in sim.ordered)
    assert too_early(sim) == []
    assert {order.guest for _, order in sim.ordered if order.kind is Kind.MOVE} <= set(notices(sim))


def test_so_it_is_with_whatever_fleet_and_troubles() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        made = random_fleet(chance)
        names = [one.name for one in made.guests]
        faults = {name: chance.choice(("refuses", "fails", "crashes")) for name in names[:2]}
        sim = told_sim(Sim(made, faults=faults, restart_from_records=True))
        sim.run()
        assert too_early(sim) == [], f"seed {seed}"


def test_each_guest_is_told_once_for_each_move() -> None:
    sim = told_sim(Sim(small_fleet()))
    sim.run()
    moves = Counter(o.guest for _, o in sim.ordered if o.kind in (Kind.MOVE, Kind.STOP))
    assert {name: len(at) for name, at in notices(sim).items()} == dict(moves)


def test_the_time_is_not_waited_for_at_every_step_again() -> None:
    hosts = [host(f"h{n}", gib=16) for n in range(6)]
    made = fleet(hosts, [guest(f"g{n}", f"h{n % 6}", gib=4) for n in range(12)])
    plain, told = Sim(made), told_sim(Sim(made))
    plain.run()
    told.run()
    longer_s = (told.now - plain.now).total_seconds()
    steps_in_a_row = 6
    assert 0 < longer_s < NOTICE_S * steps_in_a_row / 2
    assert told.book.rollout.state is RolloutState.DONE


def test_without_the_wish_nobody_is_told_and_nothing_waits() -> None:
    sim = Sim(small_fleet())
    sim.run()
    assert notices(sim) == {} and sim.book.rollout.state is RolloutState.DONE


# Through the server: what the hosts are told to put into xenstore.


def begun_with_notice(client: redis.Redis) -> tuple[RedisFleet, Controller]:
    played = RedisFleet(client, small_fleet())
    told = played.sim.inventory.model_copy(update={"notice_s": NOTICE_S})
    played.sim.inventory = told
    head = begun(played)
    assert head.notice_s == NOTICE_S, "it is kept in the rollout"
    return played, played.controller()


def on_hosts(played: RedisFleet) -> dict[str, Notice]:
    found = {}
    for name in played.sim.hosts:
        raw = played.client.hgetall(keys.notices(name))
        assert isinstance(raw, dict)
        for value in raw.values():
            notice = Notice.model_validate_json(value)
            found[notice.guest] = notice
    return found


def told(played: RedisFleet, controller: Controller) -> dict[str, Notice]:
    """Tick until somebody was told; by then nothing has been ordered."""
    for _ in range(10):
        controller.tick()
        if first := on_hosts(played):
            return first
        played.publish()
    raise AssertionError("nobody is told")


def test_the_guests_hosts_are_given_the_notice_and_lose_it_when_it_is_over(
    redis_client: redis.Redis,
) -> None:
    played, controller = begun_with_notice(redis_client)
    first = told(played, controller)
    assert played.store.book("xsa-1").under_way == set()
    for notice in first.values():
        wait_s = (notice.not_before - played.clock.now()).total_seconds()
        assert wait_s == NOTICE_S and notice.expected_at >= notice.not_before
    played.run(controller)
    book = played.store.book("xsa-1")
    assert book.rollout.state is RolloutState.DONE
    assert {record.name for record in book.guests.values() if record.notice_at} >= set(first)
    assert on_hosts(played) == {}


def test_an_abort_takes_every_notice_back(redis_client: redis.Redis) -> None:
    played, controller = begun_with_notice(redis_client)
    assert told(played, controller)
    played.want(Wanted.ABORT)
    played.run(controller, rounds=50)
    assert played.head().state is RolloutState.ABORTED
    assert on_hosts(played) == {}


def test_a_pause_and_another_controller_change_no_notice(redis_client: redis.Redis) -> None:
    played, controller = begun_with_notice(redis_client)
    first = told(played, controller)
    played.want(Wanted.PAUSE)
    for _ in range(4):
        played.round(controller)
    played.want(Wanted.RUN)
    other = played.controller()
    played.round(other, 0.0)
    again = on_hosts(played)
    assert {name: again[name] for name in first} == first
    ordered_at = played.clock.now() + timedelta(seconds=NOTICE_S)
    while not played.store.book("xsa-1").under_way:
        played.round(other)
        assert played.clock.now() < ordered_at
