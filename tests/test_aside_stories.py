"""Hosts that fall silent while the rest has to go on, in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from agents.wire import Kind, Order, Wanted
from planner.fleet import Fleet
from scheduler.forecast_assumed import assumed
from scheduler.holds import holds
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState, Step, StepState
from tests.make import fleet, guest, host
from tests.sim import START, Sim
from tests.test_replan_stories import Watched

LIMITS = Limits(settle_limit_s=180, stale_after_s=30)
LATE_S = 400.0
"""Long after a host was set aside, and the rest planned anew."""


def small_fleet(**policy: object) -> Fleet:
    hosts = [host(f"h{n}", gib=32) for n in range(5)]
    guests = [guest(f"g{n}", f"h{n % 5}", gib=2 + n % 3) for n in range(10)]
    return fleet(hosts, guests, **{"max_hosts_away": 2} | policy)


def play(**more: Any) -> Watched:
    return Watched(small_fleet(), limits=LIMITS, **more)


def state(sim: Sim) -> RolloutState:
    return sim.book.rollout.state


def running(sim: Watched) -> Counter[str]:
    return Counter(name for one in sim.hosts.values() for name in one.domains)


def assert_all_fixed(sim: Watched) -> None:
    assert state(sim) is RolloutState.DONE
    assert {one.state for one in sim.book.hosts.values()} == {HostState.FIXED}
    assert not any(one.closed or one.aside for one in sim.book.hosts.values())
    assert all(one.boot == 2 for one in sim.hosts.values()), "every host rebooted just once"
    assert running(sim) == Counter(list(sim.guests))


def orders_of(sim: Watched, name: str, since: datetime = START) -> list[Order]:
    found = [(at, order) for at, order in sim.ordered if name in (order.host, order.destination)]
    return [order for at, order in found if at >= since]


def fixed(sim: Watched) -> set[str]:
    return {one.name for one in sim.book.hosts.values() if one.state is HostState.FIXED}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_rest_is_planned_around_a_silent_host_and_later_with_it(restarted: bool) -> None:
    sim = play(faults={"g7": "refuses"}, consents=["g7"], restart_from_records=restarted)
    sim.mute = {"h4"}
    sim.run(6000, step_s=2)
    assert fixed(sim) == {"h0", "h1", "h2", "h3"}
    assert orders_of(sim, "h4") == []
    assert state(sim) is RolloutState.RUNNING, "h4 is exposed, as far as anybody knows"
    assert [one.host for one in sim.happenings if one.kind == "aside"] == ["h4"]
    sim.mute = set()
    sim.run()
    assert_all_fixed(sim)


def test_what_holds_a_silent_host_is_shown_with_since_when_and_by_whom() -> None:
    sim = play()
    sim.run(20)
    since = sim.now
    sim.mute = {"h4"}
    sim.run(LATE_S)
    (held,) = [one for one in holds(sim.book) if one.what == "host h4"]
    assert (held.by, held.since) == ("xenroll", since)
    assert held.reason.startswith("h4 has not reported for more than 30 s: set aside")
    (row,) = [one for one in assumed(sim.book) if one.what == "host h4"]
    assert "what is to be done there is not in these times" in row.text


def test_a_host_that_was_silent_for_a_moment_is_waited_for() -> None:
    sim = play()
    sim.mute = {"h4"}
    sim.run(100)
    sim.mute = set()
    sim.run()
    assert_all_fixed(sim)
    assert not [one for one in sim.happenings if one.kind == "aside"]


def test_a_rollout_ends_without_a_silent_host_when_a_person_says_so() -> None:
    sim = play()
    sim.mute = {"h4"}
    sim.run(6000, step_s=2)
    assert state(sim) is RolloutState.RUNNING
    sim.want_part("host:h4", Wanted.ABORT, "broken for good")
    sim.run()
    assert state(sim) is RolloutState.DONE
    record = sim.book.hosts["h4"]
    assert record.state is HostState.OPENED and "broken for good" in record.reason
    assert sim.hosts["h4"].boot == 1 and orders_of(sim, "h4") == []
    assert holds(sim.book) == ()


def move_under_way(sim: Sim) -> Step:
    """The first move that is on its way."""
    while True:
        sim.run(1)
        moves = [s for s in sim.book.running() if s.kind is Kind.MOVE]
        if moves:
            return moves[0]


@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("ending", ["moved", "fails"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_move_between_a_silent_host_and_another_is_frozen_and_the_rest_goes_on(
    end: str, ending: str, restarted: bool
) -> None:
    sim = play(restart_from_records=restarted)
    step = move_under_way(sim)
    if ending == "fails":
        sim.faults[step.guest or ""] = "fails"
    silent = step.host if end == "source" else step.destination or ""
    sim.round()
    sim.mute, began = {silent}, sim.now
    sim.now += timedelta(seconds=1)
    sim.run(6000, step_s=2)
    assert state(sim) is RolloutState.RUNNING
    assert sim.book.hosts[silent].aside
    frozen = sim.book.steps[step.id]
    assert frozen.state in (StepState.RUNNING, StepState.SETTLING) and frozen.attempt == 1
    later = [o for at, o in sim.ordered if at > began]
    assert not [o for o in later if o.guest == step.guest], "nothing else is done with its guest"
    other = (set(step.hosts) - {silent}).pop()
    assert not [o for o in later if {silent, other} & {o.host, o.destination}]
    (held,) = [one for one in holds(sim.book) if one.what == f"host {other}"]
    assert f"from {step.host} to {step.destination}" in held.reason
    assert fixed(sim) >= set(sim.hosts) - {silent, other}, "all others went on"
    sim.mute = set()
    sim.run()
    assert_all_fixed(sim)


def test_the_room_of_a_frozen_move_stays_taken_at_both_ends() -> None:
    # Wherever "big" is, there is no room for the guests of c on b: nobody knows, so c waits.
    guests = [guest("big", "a", gib=20), *(guest(f"g{n}", "c", gib=8) for n in range(2))]
    tight = fleet([host(name, gib=32) for name in "abc"], guests, max_hosts_away=1)
    sim = Watched(tight, limits=LIMITS)
    step = move_under_way(sim)
    while step.guest != "big":
        step = move_under_way(sim)
    since, sim.mute = sim.now, {step.host}
    sim.now += timedelta(seconds=1)
    sim.run(LATE_S, step_s=5)
    assert state(sim) is RolloutState.REPLANNING, "there is nothing else to do"
    assert not [order for at, order in sim.ordered if at > since]
    sim.mute = set()
    sim.run()
    assert state(sim) is RolloutState.DONE
    assert running(sim) == Counter(list(sim.guests))


def test_a_move_that_is_unclear_when_its_host_is_heard_again_stops_the_rollout_after_a_while() -> (
    None
):
    sim = Sim(small_fleet(), limits=LIMITS)
    step = move_under_way(sim)
    sim.faults[step.guest or ""] = "twice"
    sim.mute = {step.host}
    sim.run(LATE_S)
    assert state(sim) is RolloutState.RUNNING
    sim.mute = set()
    sim.run(60)
    assert state(sim) is RolloutState.STOPPED
    assert sim.book.rollout.hold and "two copies" in sim.book.rollout.hold.reason


def test_a_silent_host_on_which_a_guest_was_shut_down_stops_the_rollout() -> None:
    guests = [guest("p", "h0", gib=1, evacuation="restart"), guest("g", "h0", gib=30)]
    sim = Watched(fleet([host("h0"), host("h1"), host("h2")], guests), limits=LIMITS)
    while not any(step.kind is Kind.STOP for step in sim.book.running()):
        sim.run(1)
    sim.want(Wanted.PAUSE)  # or its host would reboot at once
    while not sim.book.guests["p"].down:
        sim.run(1)
    assert sim.book.hosts["h0"].state is HostState.DRAINING
    sim.mute = {"h0"}
    sim.want(Wanted.RUN)
    sim.run(LATE_S)
    assert state(sim) is RolloutState.STOPPED
    assert sim.book.rollout.hold
    assert sim.book.rollout.hold.reason == "h0 is silent, and p was shut down there"
    sim.mute = set()
    sim.round()
    sim.want(Wanted.RUN)
    sim.run()
    assert state(sim) is RolloutState.DONE
    assert running(sim) == Counter(["p", "g"])


def test_a_guest_that_a_silent_host_showed_last_and_another_shows_now_is_a_doubt() -> None:
    sim = Sim(small_fleet(), limits=LIMITS)
    sim.mute = {"h4"}
    sim.run(1)
    sim._boot_guest(sim.guests["g4"], "h0")  # somebody starts it elsewhere
    sim.run(6000, step_s=2)
    assert state(sim) is RolloutState.STOPPED
    words = "guest g4 is on h0, and h4, which is silent, showed it last"
    assert sim.book.rollout.hold and words in sim.book.rollout.hold.reason


def test_a_fixed_host_that_falls_silent_takes_no_guests_and_keeps_nobody() -> None:
    sim = play()
    while not fixed(sim):
        sim.run(1)
    (name, *_) = fixed(sim)
    for step in sim.book.running():
        assert step.state is not StepState.MENDING
    busy = {n for step in sim.book.running() for n in step.hosts}
    while name in busy:
        sim.run(1)
        busy = {n for step in sim.book.running() for n in step.hosts}
    sim.mute, since = {name}, sim.now
    sim.run(8000, step_s=2)
    assert state(sim) is RolloutState.DONE
    assert orders_of(sim, name, since=since) == []
