"""Pausing and ending one wave or one host while the rollout goes on, in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.progress import progress
from scheduler.rollout import HostState, RolloutState, StepState
from scheduler.show_screen import held_lines
from scheduler.waves import WaveState
from tests.make import fleet, guest, host
from tests.sim import NEW, OLD, Sim

ABORT_TIMES_S = [0, 3, 20, 60, 110, 300, 460, 500, 600, 700, 900, 1100, 1300]


def small_fleet(**policy: object) -> Fleet:
    hosts = [host(f"h{n}", gib=16) for n in range(5)]
    guests = [guest(f"g{n}", f"h{n % 5}", gib=2) for n in range(10)]
    chosen = {"canary_hosts": 1, "gates": "every", "wave_hosts": 2, "max_hosts_away": 2}
    return fleet(hosts, guests, **chosen | policy)


def running(sim: Sim) -> Counter[str]:
    return Counter(name for h in sim.hosts.values() for name in h.domains)


def ordered_after(sim: Sim, at: datetime, *, wave: int = 0, touching: str = "") -> list[str]:
    found = [order for when, order in sim.ordered if when >= at]
    return [
        order.attempt_id
        for order in found
        if order.wave == wave or touching in (order.host, order.destination)
    ]


def assert_all_fixed(sim: Sim) -> None:
    assert sim.book.rollout.state is RolloutState.DONE
    assert {h.build for h in sim.hosts.values()} == {NEW}
    assert running(sim) == Counter(list(sim.guests))
    assert not any(h.closed for h in sim.book.hosts.values())
    assert {w.state for w in sim.book.waves.values()} == {WaveState.ENDED}


def test_every_wave_opens_when_those_before_it_are_back_and_ends() -> None:
    sim = Sim(small_fleet())
    sim.round()
    first, second, third = (sim.book.waves[n] for n in (1, 2, 3))
    assert (first.state, second.state, third.state) == ("open", "waiting", "waiting")
    assert "waits for wave 1" in second.holds[0].reason
    assert "waits for wave 1, 2" in third.holds[0].reason
    sim.run()
    assert_all_fixed(sim)
    ends = [sim.book.waves[n].ended_at for n in (1, 2, 3)]
    begins = [sim.book.waves[n].opened_at for n in (2, 3)]
    assert [b and e and b >= e for b, e in zip(begins, ends, strict=False)] == [True, True]


@pytest.mark.parametrize("after_s", ABORT_TIMES_S)
@pytest.mark.parametrize("name", ["h0", "h3"])
def test_a_host_that_is_aborted_is_left_out_and_the_rest_is_fixed(
    name: str, after_s: float
) -> None:
    sim = Sim(small_fleet())
    sim.run(after_s)
    at, before = sim.now, running(sim)
    rebooted = sim.hosts[name].boot == 2 or not sim.hosts[name].up
    sim.want_part(f"host:{name}", Wanted.ABORT, "bad DIMM")
    sim.round()
    late = ordered_after(sim, at, touching=name)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert not [a for a in ordered_after(sim, at, touching=name) if a not in late]
    assert not any(h.closed for h in sim.book.hosts.values())
    assert running(sim) == before == Counter(list(sim.guests))
    record = sim.book.hosts[name]
    if rebooted:
        assert record.state is HostState.FIXED
        return
    assert record.state is HostState.OPENED and "bad DIMM" in record.reason
    assert sim.hosts[name].build == OLD
    assert [h.build for h in sim.hosts.values() if h.name != name] == [NEW] * 4


@pytest.mark.parametrize("after_s", [0, 5, 10, 20, 40, 60, 120, 300, 500, 600, 900])
def test_a_guest_that_was_shut_down_for_the_reboot_comes_back_when_its_host_is_aborted(
    after_s: float,
) -> None:
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(4)]
    guests += [guest(f"p{n}", f"h{n}", gib=2, evacuation="restart") for n in range(4)]
    sim = Sim(fleet([host(f"h{n}", gib=16) for n in range(4)], guests))
    sim.run(after_s)
    for n in range(3):
        sim.want_part(f"host:h{n}", Wanted.ABORT)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert running(sim) == Counter(list(sim.guests))
    assert not any(g.down for g in sim.book.guests.values())
    assert not any(h.closed for h in sim.book.hosts.values())


@pytest.mark.parametrize("after_s", [0, 100, 600, 1100])
def test_a_wave_that_is_aborted_leaves_out_its_hosts_and_those_alone(after_s: float) -> None:
    sim = Sim(small_fleet())
    sim.run(after_s)
    hosts = set(sim.book.waves[2].hosts)
    fixed = {name for name in hosts if sim.hosts[name].boot == 2}
    sim.want_part("wave:2", Wanted.ABORT, "not tonight")
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    left = {h.name for h in sim.book.hosts.values() if h.state is HostState.OPENED}
    away = {name for name in hosts - fixed if sim.hosts[name].boot == 2}
    assert left == hosts - fixed - away
    assert {sim.hosts[name].boot for name in set(sim.hosts) - hosts} == {2}
    assert running(sim) == Counter(list(sim.guests))
    assert not any(h.closed for h in sim.book.hosts.values())


def test_an_aborted_host_on_which_nothing_hangs_needs_no_new_plan() -> None:
    hosts = [host("h0"), host("h1"), host("tiny", gib=1)]
    sim = Sim(fleet(hosts, [guest("g0", "h0"), guest("g1", "h1")]))
    sim.want_part("host:tiny", Wanted.ABORT)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert sim.book.rollout.generation == 1
    assert sim.book.hosts["tiny"].state is HostState.OPENED
    reboot = next(s for s in sim.book.steps.values() if s.host == "tiny" and s.kind is Kind.REBOOT)
    assert reboot.state is StepState.SKIPPED


def test_a_wish_for_a_wave_that_was_just_planned_anew_reaches_its_hosts() -> None:
    sim = Sim(small_fleet())
    sim.run(30)
    hosts = set(sim.book.waves[3].hosts)
    aborted = next(n for n in sim.book.waves[2].hosts)
    sim.want_part(f"host:{aborted}", Wanted.ABORT)
    while sim.book.rollout.generation == 1:
        sim.run(1)
    sim.want_part("wave:3", Wanted.PAUSE)
    sim.run(8000)
    assert {sim.hosts[name].boot for name in hosts} == {1}


def test_a_move_of_a_host_that_was_left_out_is_waited_for_and_named() -> None:
    sim = Sim(small_fleet())
    while not (moves := [s for s in sim.book.running() if s.state is StepState.RUNNING]):
        sim.run(1)
    sim.want_part(f"host:{moves[0].host}", Wanted.ABORT)
    sim.run(1)
    assert sim.book.rollout.state is RolloutState.REPLANNING
    said = f"it is planned anew once this has ended: move of {moves[0].guest} is"
    assert any(said in line for line in held_lines(progress(sim.book, sim.now)))
    sim.run()
    assert sim.book.rollout.ended_at and sim.book.rollout.generation == 2
    assert running(sim) == Counter(list(sim.guests))
