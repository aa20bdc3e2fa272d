"""The one view of a rollout: what is done, what is left, and for how long."""

from __future__ import annotations

from scheduler.limits import Limits
from scheduler.progress import left_s, progress
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import Sim


def sim() -> Sim:
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(12)]
    return Sim(fleet([host(f"h{n}", gib=16) for n in range(4)], guests, canary_hosts=1))


def test_a_rollout_that_has_not_moved_anything_tells_no_time() -> None:
    played = sim()
    view = progress(played.book, played.now)
    assert view.left_s is None
    assert (view.hosts_fixed, view.hosts_to_fix, view.moves_done) == (0, 4, 0)
    assert view.moves_planned == played.book.rollout.planned_moves


def test_the_time_left_is_near_the_plans_when_everything_goes_by_the_plan() -> None:
    played = sim()
    played.run(900)
    left = left_s(played.book, played.now)
    planned = played.book.rollout.planned_makespan_s - 900
    assert left is not None and 0.7 * planned < left < 1.3 * planned


def test_moves_in_flight_and_held_steps_are_listed() -> None:
    played = sim()
    played.run(3)
    view = progress(played.book, played.now)
    assert {step.kind for step in view.in_flight} == {"move"}
    assert any(host.state is HostState.DRAINING and host.closed for host in view.hosts)


def test_steps_that_a_silent_host_holds_say_so() -> None:
    played = sim()
    played.mute |= {"h1", "h2", "h3"}
    played.limits = Limits(max_silent_hosts=1.0)
    played.run(60)
    view = progress(played.book, played.now)
    assert view.held and all("has not reported" in step.reason for step in view.held)


def test_at_the_end_everything_adds_up() -> None:
    played = sim()
    played.run()
    view = progress(played.book, played.now)
    assert (view.state, view.left_s, view.in_flight, view.held) == (RolloutState.DONE, 0.0, (), ())
    assert view.hosts_fixed == view.hosts_to_fix == 4
    assert view.moves_done == view.moves_planned == sum(w.moves_done for w in view.waves)
    assert sum(w.fixed for w in view.waves) == 4
