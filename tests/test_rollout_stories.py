"""Whole rollouts in virtual time: what happens to hosts and guests, whatever goes wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.rollout import HostState, RolloutState, StepState
from tests.make import fleet, guest, host
from tests.sim import NEW, Sim


def small_fleet(**policy: object) -> Fleet:
    hosts = [host(f"h{n}", gib=16) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(12)]
    return fleet(hosts, guests, **{"canary_hosts": 1, "gates": "canary"} | policy)


def assert_all_fixed(sim: Sim) -> None:
    assert sim.book.rollout.state is RolloutState.DONE
    assert {h.build for h in sim.hosts.values()} == {NEW}
    assert all(h.boot == 2 for h in sim.hosts.values())
    assert {h.state for h in sim.book.hosts.values()} == {HostState.FIXED}
    assert not any(h.closed for h in sim.book.hosts.values())


def running(sim: Sim) -> Counter[str]:
    return Counter(name for h in sim.hosts.values() for name in h.domains)


def test_every_host_is_rebooted_once_and_every_guest_runs_once() -> None:
    sim = Sim(small_fleet())
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))


def test_a_controller_killed_after_every_single_event_makes_the_same_rollout() -> None:
    whole, killed = Sim(small_fleet()), Sim(small_fleet(), restart_from_records=True)
    whole.run()
    killed.run()
    assert killed.ordered == whole.ordered
    assert killed.book.steps == whole.book.steps


@pytest.mark.parametrize("after_s", [0, 5, 10, 20, 40, 60, 120, 300, 500, 600, 900])
def test_an_abort_opens_the_hosts_again_whenever_it_comes(after_s: float) -> None:
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(8)]
    guests += [guest(f"p{n}", f"h{n}", gib=2, evacuation="restart") for n in range(4)]
    sim = Sim(fleet([host(f"h{n}", gib=16) for n in range(4)], guests))
    sim.run(after_s)
    sim.want(Wanted.ABORT)
    sim.run()
    assert sim.book.rollout.state is RolloutState.ABORTED
    assert not any(h.closed for h in sim.book.hosts.values())
    assert running(sim) == Counter(list(sim.guests)), "guests that were shut down run again"


def test_limits_of_moves_and_of_hosts_away_are_kept_at_every_moment() -> None:
    sim = Sim(small_fleet(max_hosts_away=1, max_moves_out_per_host=1, max_moves_in_per_host=1))
    while sim.book.rollout.state is RolloutState.RUNNING:
        sim.run(1)
        moves = [s for s in sim.book.running() if s.kind is Kind.MOVE]
        assert max(Counter(s.host for s in moves).values(), default=0) <= 1
        assert max(Counter(s.destination for s in moves).values(), default=0) <= 1
        assert sum(s.kind is Kind.REBOOT for s in sim.book.running()) <= 1
    assert_all_fixed(sim)


def test_a_thousand_hosts_in_virtual_time() -> None:
    hosts = [host(f"h{n:03}", gib=64, group=f"r{n % 20}") for n in range(1000)]
    guests = [guest(f"g{n}", f"h{n % 1000:03}", gib=4) for n in range(12000)]
    sim = Sim(fleet(hosts, guests, canary_hosts=1, gates="canary"))
    sim.run(step_s=15)
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))
    unfinished = [s for s in sim.book.steps.values() if s.state is not StepState.DONE]
    assert not unfinished
