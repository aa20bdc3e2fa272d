"""Hosts with guests of a quarantined class: behind all others, waiting for a person, told whose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis

from agents.wire import Kind, Wanted
from scheduler.control import Controller
from scheduler.fleet_view import Scope
from scheduler.inventory import Inventory
from scheduler.launch import Draw, Wish, begin
from scheduler.limits import Limits
from scheduler.planning import plan_fleet
from scheduler.progress import progress
from scheduler.quarantine import left_alone
from scheduler.rollout import Happening, Hold, HostState, RolloutState
from scheduler.show_screen import held_lines
from scheduler.watch_store import Saving, WatchStore
from scheduler.watched import ClassMark
from scheduler.waves import WaveState
from scheduler.wishes import Part, WishRefused, approve, wish
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW

LENIENT = Limits(crash_budget=0.9)
OLD = "pv 3.10 i386"
DIES = "crashes on arrival"


def played(client: redis.Redis, **sim: object) -> RedisFleet:
    """Six hosts; every third carries guests of the old class, the others of a new one alone."""
    hosts = [host(f"h{n}", gib=32) for n in range(6)]
    guests = [guest(f"o{n}", f"h{n}", gib=2, guest_class=OLD) for n in (0, 3)]
    guests += [guest(f"n{n}", f"h{n % 6}", gib=2, guest_class="new") for n in range(12)]
    made = RedisFleet(client, fleet(hosts, guests, canary_hosts=1, gates="canary"), **sim)
    made.sim.inventory = owned(made.sim.inventory)
    return made


def owned(inventory: Inventory) -> Inventory:
    """The same with an owner for every guest."""
    guests = (g.model_copy(update={"owner": f"team {g.name}"}) for g in inventory.guests)
    return inventory.model_copy(update={"guests": tuple(guests)})


def quarantine(fleet: RedisFleet) -> Hold:
    """The class was quarantined a day ago."""
    since = fleet.clock.now() - timedelta(days=1)
    hold = Hold(reason="2 of 5 moved guests crashed", since=since, by="xenroll")
    mark = ClassMark(guest_class=OLD, quarantine=hold)
    WatchStore(fleet.client, "test").save(Saving(fleet.clock.now(), marks=[mark]))
    return hold


def begun(fleet: RedisFleet) -> None:
    """What `xenroll rollout start` does where a class is quarantined already."""
    marks = WatchStore(fleet.client, "test").marks()
    reports = [fleet.sim.look(one) for one in fleet.sim.hosts.values()]
    at_rest = left_alone(marks, reports, fleet.sim.inventory)
    scope = Scope((NEW,), fleet.sim.fleet.policy, at_rest.guests)
    planned, document = plan_fleet(reports, fleet.sim.inventory, scope, fleet.clock.now())
    fleet.publish()
    wish = Wish("XSA-1", (NEW,), "security")
    begin(fleet.store, Draw(wish, planned, document, fleet.clock.now(), at_rest=at_rest))


def until(fleet: RedisFleet, controller: Controller, kind: str, rounds: int = 2000) -> str:
    """Rounds until the log has a line of this kind; its text."""
    for _ in range(rounds):
        fleet.round(controller)
        found = [one.text for one in happenings(fleet) if one.kind == kind]
        if found:
            return found[-1]
    raise AssertionError(f"no line {kind}: {[(o.kind, o.text) for o in happenings(fleet)]}")


def happenings(fleet: RedisFleet) -> Sequence[Happening]:
    return fleet.store.happenings(fleet.head().id, 10_000)


def states(fleet: RedisFleet) -> dict[str, HostState]:
    book = fleet.store.book(fleet.head().id)
    return {name: record.state for name, record in sorted(book.hosts.items())}


def waiting(client: redis.Redis) -> tuple[RedisFleet, Controller]:
    """A rollout of which only the late wave is left."""
    fleet = played(client)
    quarantine(fleet)
    begun(fleet)
    controller = fleet.controller(LENIENT)
    until(fleet, controller, "waits")
    return fleet, controller


def test_its_hosts_come_last_and_the_others_go_on_without_them(redis_client: redis.Redis) -> None:
    fleet = played(redis_client)
    hold = quarantine(fleet)
    begun(fleet)
    book = fleet.store.book(fleet.head().id)
    last = max(book.waves)
    assert book.waves[last].late and book.waves[last].hosts == ("h0", "h3")
    assert not any(wave.late for number, wave in book.waves.items() if number != last)
    assert book.rollout.quarantined == (OLD,) and book.rollout.quarantines == {OLD: hold}
    controller = fleet.controller(LENIENT)
    said = until(fleet, controller, "waits")
    assert "h0, h3" in said and "o0 on h0, o3 on h3; owners: team o0, team o3" in said
    waits, fixed = HostState.WAITING, HostState.FIXED
    wanted = {name: waits if name in ("h0", "h3") else fixed for name in states(fleet)}
    assert states(fleet) == wanted
    moved = {order.guest for _, order in fleet.sim.ordered if order.kind is Kind.MOVE}
    assert moved and not moved & {"o0", "o3"}
    assert not any(record.closed for record in fleet.store.book(fleet.head().id).hosts.values())


def test_a_rollout_with_a_late_wave_left_is_not_complete_and_says_so_once(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = waiting(redis_client)
    for number in range(60):
        controller = fleet.controller(LENIENT) if number % 20 == 7 else controller
        fleet.round(controller, 60.0)
    head = fleet.head()
    assert head.state is RolloutState.RUNNING and head.hold is not None
    assert head.hold.by == "quarantine" and "2 hosts that stay exposed" in head.hold.reason
    assert [one.kind for one in happenings(fleet)].count("waits") == 1
    assert head.generation == 1, "nothing is planned anew for nothing"


def test_what_holds_it_is_shown_with_since_when_by_whom_and_what_helps(
    redis_client: redis.Redis,
) -> None:
    fleet, _ = waiting(redis_client)
    book = fleet.store.book(fleet.head().id)
    (late,) = [wave for wave in book.waves.values() if wave.late]
    (held,) = late.holds
    assert late.state is WaveState.WAITING
    assert held.since == fleet.head().quarantines[OLD].since, "not since it was noticed here"
    assert "by xenroll (2 of 5 moved guests crashed)" in held.reason
    assert f"xenroll class release '{OLD}'" in held.reason
    seen = progress(book, fleet.clock.now())
    assert [wave.late for wave in seen.waves][-1]
    assert any(f"wave {late.number} held by quarantine of" in line for line in held_lines(seen))
    (rest,) = seen.quarantined
    assert rest.owners == ("team o0", "team o3") and rest.waiting == ("h0", "h3")
    assert "owners: team o0, team o3; hosts that wait: h0, h3; why: 2 of 5" in rest.words
    yesterday = held.since.strftime("%m-%d %H:%M:%S")
    assert any(f"since {yesterday}" in line for line in held_lines(seen))


def test_a_release_has_the_late_hosts_planned_and_fixed(redis_client: redis.Redis) -> None:
    fleet, controller = waiting(redis_client)
    store = WatchStore(redis_client, "test")
    assert store.release(OLD, "on-call", "a fixed kernel", fleet.clock.now())
    fleet.run(controller)
    assert fleet.head().state is RolloutState.DONE
    assert set(states(fleet).values()) == {HostState.FIXED}
    assert happenings(fleet)[-1].text == "every host is on a fixed build, or blocked with a reason"


def test_an_owner_who_shuts_a_guest_down_frees_its_host_alone(redis_client: redis.Redis) -> None:
    fleet, controller = waiting(redis_client)
    fleet.sim.shut_down_by_owner("o0")
    assert (
        until(fleet, controller, "freed") == "h0 carries no guest of a quarantined class any more"
    )
    for _ in range(400):
        fleet.round(controller)
    assert states(fleet)["h0"] is HostState.FIXED
    assert states(fleet)["h3"] is HostState.WAITING
    head = fleet.head()
    assert head.state is RolloutState.RUNNING and head.hold is not None
    assert "o3 on h3; owner: team o3" in head.hold.reason and "o0" not in head.hold.reason


def test_a_guest_that_somebody_takes_to_a_fixed_host_frees_its_own(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = waiting(redis_client)
    fleet.sim.carry("o0", "h1")
    fleet.sim.carry("o3", "h1")
    until(fleet, controller, "freed")
    fleet.run(controller)
    assert fleet.head().state is RolloutState.DONE
    assert set(states(fleet).values()) == {HostState.FIXED}


def test_the_wave_can_be_left_out_and_the_end_names_hosts_and_owners(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = waiting(redis_client)
    head = fleet.head()
    late = max(fleet.store.book(head.id).waves)
    now = fleet.clock.now()
    with pytest.raises(WishRefused, match=r"cannot be approved: class pv .* is quarantined"):
        approve(fleet.store, head.id, late, "on-call", "go", now)
    why = "after the weekend"
    wish(fleet.store, head.id, Part(wave=late), Wanted.ABORT, "on-call", why, now)
    fleet.run(controller)
    assert fleet.head().state is RolloutState.DONE
    opened = [name for name, state in states(fleet).items() if state is HostState.OPENED]
    assert opened == ["h0", "h3"]
    end = happenings(fleet)[-1].text
    assert (
        "2 hosts are left as they were: h0, h3; of quarantined classes: o0 on h0, o3 on h3" in end
    )
    assert "owners: team o0, team o3" in end


def test_a_class_that_breaks_its_budget_on_the_way_goes_to_a_late_wave(
    redis_client: redis.Redis,
) -> None:
    hosts = [host(f"h{n}", gib=32) for n in range(5)]
    guests = [guest(f"o{n}", f"h{n}", gib=2, guest_class=OLD) for n in range(5)]
    faults = {f"o{n}": [DIES] for n in range(5)}
    policy = {"canary_hosts": 1, "gates": "every", "wave_hosts": 1}
    fleet_ = RedisFleet(redis_client, fleet(hosts, guests, **policy), faults=faults)
    fleet_.begin()
    controller = fleet_.controller(LENIENT)
    until(fleet_, controller, "waits")
    found = states(fleet_)
    late = [name for name, state in found.items() if state is HostState.WAITING]
    assert late and len(late) < 5
    assert {found[name] for name in found if name not in late} == {HostState.FIXED}
    book = fleet_.store.book(fleet_.head().id)
    assert {book.hosts[name].wave for name in late} == {max(book.waves)}
    put_off = [one.text for one in happenings(fleet_) if one.kind == "put_off"]
    assert len(put_off) == len(late), "each is told once"
    at = book.rollout.quarantines[OLD].since
    later = [o for when, o in fleet_.sim.ordered if o.kind is Kind.MOVE and when > at]
    assert later == []


def test_a_guest_that_came_back_from_a_try_is_not_tried_again(redis_client: redis.Redis) -> None:
    fleet = played(redis_client, faults={"o0": ["breaks in pre-copy"] * 9})
    fleet.begin()
    controller = fleet.controller(LENIENT)
    for _ in range(2000):
        fleet.round(controller)
        if any(order.guest == "o0" for _, order in fleet.sim.ordered):
            break
    quarantine(fleet)
    until(fleet, controller, "waits")
    tries = [order for _, order in fleet.sim.ordered if order.guest == "o0"]
    assert len(tries) == 1
    assert states(fleet)["h0"] is HostState.WAITING


def test_records_of_an_older_release_are_still_read(redis_client: redis.Redis) -> None:
    fleet, _ = waiting(redis_client)
    head = fleet.head()
    assert head.model_validate(head.model_dump(exclude={"quarantines"})).quarantines == {}
    (late,) = [w for w in fleet.store.book(head.id).waves.values() if w.late]
    assert not late.model_validate(late.model_dump(exclude={"late"})).late
