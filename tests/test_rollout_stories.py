"""Whole rollouts in virtual time: what happens to hosts and guests, whatever goes wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.limits import Limits
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


def test_a_guest_that_refuses_to_suspend_is_restarted_where_its_owner_agreed() -> None:
    sim = Sim(small_fleet(), faults={"g5": "refuses"}, consents=["g5"])
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))
    assert sim.book.guests["g5"].restarts == 1
    tries = [o for _, o in sim.ordered if o.guest == "g5" and o.kind is Kind.MOVE]
    assert len(tries) == 1, "a guest that ignored its suspend request is never tried again"


def test_without_its_owners_word_it_blocks_its_host_and_nothing_else() -> None:
    sim = Sim(small_fleet(), faults={"g5": "refuses"})
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    states = {h.name: h.state for h in sim.book.hosts.values()}
    blocked = [name for name, state in states.items() if state is HostState.BLOCKED]
    assert len(blocked) == 1 and "g5" in sim.book.hosts[blocked[0]].reason
    assert list(states.values()).count(HostState.FIXED) == 3
    assert running(sim) == Counter(list(sim.guests))
    assert not sim.book.hosts[blocked[0]].closed


def test_a_broken_connection_is_tried_again_after_a_while() -> None:
    sim = Sim(small_fleet(), faults={"g3": "fails"})
    sim.run()
    assert_all_fixed(sim)
    assert sim.book.guests["g3"].stayed == 1


def test_a_guest_that_crashes_on_arrival_is_recorded_and_the_rollout_goes_on() -> None:
    sim = Sim(small_fleet(), faults={"g7": "crashes"})
    sim.run()
    assert_all_fixed(sim)
    assert sim.book.guests["g7"].crashed
    assert running(sim) == Counter(set(sim.guests) - {"g7"})


def test_more_crashes_than_the_budget_stop_the_rollout() -> None:
    sim = Sim(small_fleet(), faults={f"g{n}": "crashes" for n in range(12)})
    sim.run(3600)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert sim.book.rollout.hold and "crashed" in sim.book.rollout.hold.reason
    assert len(sim.book.guests) < 12


def test_two_copies_stop_everything_and_nothing_is_touched() -> None:
    sim = Sim(small_fleet(), faults={"g2": "twice"})
    sim.run(7200)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert running(sim)["g2"] == 2
    assert not [o for _, o in sim.ordered if o.kind is Kind.MEND]
    stopped_at = next(h.at for h in sim.happenings if h.kind == "stopped")
    assert not [o for at, o in sim.ordered if at > stopped_at]


def test_no_step_is_ordered_while_paused_and_resume_goes_on() -> None:
    sim = Sim(small_fleet())
    sim.run(100)
    sim.want(Wanted.PAUSE)
    sim.round()
    count = len(sim.ordered)
    sim.run(3600)
    assert len(sim.ordered) == count
    assert sim.book.rollout.state is RolloutState.PAUSED
    assert not sim.book.under_way, "what ran has ended"
    sim.want(Wanted.RUN)
    sim.run()
    assert_all_fixed(sim)


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


def test_a_restart_guest_is_down_only_around_its_hosts_reboot() -> None:
    guests = [guest("g1", "h0", gib=2), guest("p1", "h0", gib=2, evacuation="restart")]
    sim = Sim(fleet([host("h0"), host("h1")], guests))
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))
    assert sim.book.guests["p1"].restarts == 1


def test_a_guest_that_its_owner_shut_down_is_not_started_by_us() -> None:
    guests = [guest("g1", "h0", gib=2), guest("p1", "h0", gib=2, evacuation="restart")]
    sim = Sim(fleet([host("h0"), host("h1")], guests))
    sim.run(5)
    sim.shut_down_by_owner("p1")
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(["g1"])


def test_a_guest_that_appears_on_a_closed_host_is_planned_for_and_not_rebooted_away() -> None:
    sim = Sim(small_fleet())
    sim.run(60)
    closed = next(h.name for h in sim.book.hosts.values() if h.closed)
    sim.create("new", closed)
    sim.run()
    assert_all_fixed(sim)
    assert running(sim)["new"] == 1


def test_a_guest_that_its_owner_shut_down_needs_no_move() -> None:
    sim = Sim(small_fleet())
    sim.run(2)
    sim.shut_down_by_owner("g11")
    sim.run()
    assert_all_fixed(sim)
    assert sim.book.rollout.generation == 1, "nothing had to be planned anew for it"


def test_a_guest_that_ignores_its_shutdown_blocks_its_host_and_is_left_alone() -> None:
    guests = [guest("g1", "h0", gib=2), guest("p1", "h0", gib=2, evacuation="restart")]
    sim = Sim(fleet([host("h0"), host("h1")], guests), faults={"p1": "stays_up"})
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert sim.book.hosts["h0"].state is HostState.BLOCKED
    assert sim.book.hosts["h1"].state is HostState.FIXED
    assert running(sim) == Counter(list(sim.guests))


def test_a_host_that_comes_back_with_the_wrong_build_stops_the_rollout() -> None:
    sim = Sim(small_fleet(), wrong_builds=["h0", "h1", "h2", "h3"])
    sim.run(7200)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert sum(h.boot - 1 for h in sim.hosts.values()) == 1


def test_a_host_that_never_comes_back_stops_the_rollout() -> None:
    limits = Limits(reboot_limit_s=600, attempt_alarm_s=600)
    sim = Sim(small_fleet(), lost_hosts=["h0", "h1", "h2", "h3"], limits=limits)
    sim.run(7200)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert sim.book.rollout.hold and "reboot" in sim.book.rollout.hold.reason


def test_nothing_that_touches_a_silent_host_is_started() -> None:
    sim = Sim(small_fleet())
    sim.mute.add("h2")
    sim.run(1000)
    assert not [o for _, o in sim.ordered if "h2" in (o.host, o.destination)]
    sim.mute.clear()
    sim.run()
    assert_all_fixed(sim)


def test_many_silent_hosts_at_once_stop_the_rollout() -> None:
    sim = Sim(small_fleet())
    sim.mute |= {"h0", "h1"}
    sim.run(10)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert not sim.ordered


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
