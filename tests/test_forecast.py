"""When a rollout will end: hand-made cases, exact answers, and real rollouts in virtual time."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from agents.wire import Kind
from scheduler.advance import Foreseen
from scheduler.advisory import Advisory
from scheduler.forecast import Asked, forecast, outlook
from scheduler.forecast_pause import pause_cost
from scheduler.forecast_runs import Ceilings, Chance, Work, ends
from scheduler.forecast_speeds import AS_PLANNED, EXACT, Speed, Speeds, speed
from scheduler.forecast_works import ceilings, works_of
from scheduler.rollout import RolloutState
from tests.make import fleet, guest, host
from tests.sim import Sim

LOOSE = Ceilings(moves_out=99, moves_in=99, away=99)
ONCE = Chance(seed=1, runs=1)
MANY = Chance(seed=1, runs=200_000)
"""Enough for quantiles to be known better than the hundredth that they are compared to."""
P90_OF_A_NORMAL = 1.2815515655446004


def work(name: str, kind: Kind, planned_s: float, *needs: str, **more: object) -> Work:
    told: dict[str, object] = {
        "host": "a",
        "destination": "b" if kind is Kind.MOVE else None,
        "group": None,
        "planned_start_s": 0.0,
    }
    return Work(id=name, kind=kind, planned_s=planned_s, needs=needs, **(told | more))  # type: ignore[arg-type]


def move(name: str, planned_s: float, *needs: str, **more: object) -> Work:
    return work(name, Kind.MOVE, planned_s, *needs, **more)


def reboot(name: str, planned_s: float, *needs: str, **more: object) -> Work:
    return work(name, Kind.REBOOT, planned_s, *needs, **more)


def times(works: list[Work], ceilings: Ceilings = LOOSE) -> dict[str, float]:
    """When each ends if all goes exactly as planned."""
    return {name: float(at[0]) for name, at in ends(works, ceilings, AS_PLANNED, ONCE).items()}


def test_a_step_starts_when_its_needs_have_ended() -> None:
    works = [move("m1", 10), move("m2", 20), reboot("r", 100, "m1", "m2"), move("m3", 5, "r")]
    assert times(works) == {"m1": 10, "m2": 20, "r": 120, "m3": 125}


def test_moves_wait_for_a_slot_at_either_end() -> None:
    works = [
        move("m1", 10, planned_start_s=0.0),
        move("m2", 10, planned_start_s=1.0, destination="c"),
        move("m3", 10, planned_start_s=2.0, host="z"),
    ]
    assert times(works, Ceilings(moves_out=1, moves_in=99, away=1)) == {
        "m1": 10,
        "m2": 20,
        "m3": 10,
    }
    assert times(works, Ceilings(moves_out=99, moves_in=1, away=1)) == {
        "m1": 10,
        "m2": 10,
        "m3": 20,
    }


def test_hosts_that_may_be_away_together_bound_the_reboots() -> None:
    works = [reboot(f"r{n}", 60, host=f"h{n}", group=f"g{n % 2}") for n in range(4)]
    assert max(times(works).values()) == 60
    assert max(times(works, Ceilings(9, 9, away=2)).values()) == 120
    assert max(times(works, Ceilings(9, 9, away=9, away_in_group=1)).values()) == 120
    assert max(times(works, Ceilings(9, 9, away=1)).values()) == 240


def test_what_runs_already_counts_from_its_order_and_holds_its_slot() -> None:
    works = [reboot("r1", 60, host="h1", ran_s=45.0), reboot("r2", 60, host="h2")]
    assert times(works, Ceilings(9, 9, away=1)) == {"r1": 15, "r2": 75}


def test_a_step_in_its_back_off_starts_after_it() -> None:
    assert times([move("m", 10, not_before_s=7.0)]) == {"m": 17}


def test_with_exact_times_the_runs_give_the_times_of_the_plan() -> None:
    played = forecast_sim()
    book = played.book
    found = ends(works_as_planned(played), ceilings_of(played), AS_PLANNED, ONCE)
    for name, at in found.items():
        assert float(at[0]) == pytest.approx(book.steps[name].planned_end_s), name


def forecast_sim() -> Sim:
    hosts = [host(f"h{n}", gib=32) for n in range(12)]
    guests = [guest(f"g{n}", f"h{n % 12}", gib=1 + n % 5) for n in range(70)]
    return Sim(fleet(hosts, guests, canary_hosts=1, gates="canary", max_hosts_away=3))


def works_as_planned(played: Sim) -> list[Work]:
    return works_of(played.book, played.now)


def ceilings_of(played: Sim) -> Ceilings:
    return ceilings(played.book.rollout)


def certain(spread: float) -> Speeds:
    """A known mean, so that only single steps vary."""
    one = Speed(steps=1000, mean=0.0, mean_error=0.0, spread=spread)
    return Speeds(move=one, reboot=one, other=one, failing=0.0)


def quantiles(works: list[Work], seen: Speeds, ceilings: Ceilings = LOOSE) -> tuple[float, float]:
    found = ends(works, ceilings, seen, MANY)
    last = np.max(np.stack(list(found.values())), axis=0)
    p50, p90 = np.quantile(last, (0.5, 0.9))
    return float(p50), float(p90)


def test_one_step_has_the_quantiles_of_its_own_distribution() -> None:
    p50, p90 = quantiles([reboot("r", 100)], certain(0.5))
    assert p50 == pytest.approx(100, rel=0.01)
    assert p90 == pytest.approx(100 * math.exp(0.5 * P90_OF_A_NORMAL), rel=0.01)


def test_two_steps_at_once_end_with_the_later_one() -> None:
    # P(both by t) = P(one by t) squared: the p90 of both is the p(sqrt 0.9) of one, z = 1.6322.
    works = [reboot("r1", 100, host="h1"), reboot("r2", 100, host="h2")]
    p50, p90 = quantiles(works, certain(0.5))
    assert p50 == pytest.approx(100 * math.exp(0.5 * 0.5450), rel=0.01)
    assert p90 == pytest.approx(100 * math.exp(0.5 * 1.6322), rel=0.01)


def test_doubt_about_the_mean_is_shared_by_all_steps_and_does_not_average_out() -> None:
    one = Speed(steps=3, mean=0.0, mean_error=0.5, spread=0.0)
    chain = [reboot(f"r{n}", 100, *([f"r{n - 1}"] if n else []), host=f"h{n}") for n in range(10)]
    p50, p90 = quantiles(chain, Speeds(reboot=one))
    assert p50 == pytest.approx(1000, rel=0.01)
    assert p90 == pytest.approx(1000 * math.exp(0.5 * P90_OF_A_NORMAL), rel=0.01)


def test_a_failing_attempt_costs_its_time_again_and_the_back_off() -> None:
    seen = Speeds(move=EXACT, failing=0.3)
    found = ends([move("m", 10)], LOOSE, seen, MANY)["m"]
    values, counts = np.unique(found, return_counts=True)
    # Once: 10 s. Twice: 2 x 10 and 30. Three times at most: 3 x 10 and 30 + 60.
    assert values.tolist() == [10, 50, 120]
    assert (counts / MANY.runs).tolist() == pytest.approx([0.7, 0.21, 0.09], abs=0.01)


def test_what_has_run_for_long_is_drawn_from_what_is_still_possible() -> None:
    # P(total > t | total > 100) for a log-normal with median 100: its median is at z = 0.6745.
    rest = ends([reboot("r", 100, ran_s=100.0)], LOOSE, certain(0.5), MANY)["r"]
    assert float(np.min(rest)) >= 0
    assert float(np.median(rest)) == pytest.approx(100 * math.exp(0.5 * 0.6745) - 100, rel=0.03)


def test_what_is_stuck_is_not_taken_to_end_at_any_moment() -> None:
    rest = ends([reboot("r", 100, ran_s=3600.0)], LOOSE, certain(0.25), MANY)["r"]
    assert float(np.median(rest)) == pytest.approx(1800, rel=0.03)


def test_few_steps_count_beside_the_plans_figures_and_many_alone() -> None:
    assert speed([]).ratio == 1.0
    assert 1.0 < speed([2.0]).ratio < 1.5
    assert speed([2.0] * 500).ratio == pytest.approx(2.0, rel=0.01)
    assert speed([2.0] * 500).spread < speed([2.0]).spread < Speed().spread
    assert speed([2.0] * 500).mean_error < 0.1 * Speed().mean_error


def test_the_same_records_give_the_same_forecast() -> None:
    played = forecast_sim()
    played.run(600)
    asked = Asked(at_start=at_start(played), remedies=True)
    assert forecast(played.book, played.now, asked) == forecast(played.book, played.now, asked)


def at_start(played: Sim) -> dict[str, str]:
    return {one.name: one.host for one in played.fleet.guests}


def due(played: Sim, after_s: float) -> None:
    """Give the rollout's advisory a deadline."""
    advisory = Advisory(
        id="XSA-1", fixed_builds=("f" * 40,), deadline=played.now + timedelta(seconds=after_s)
    )
    played.book.rollout = played.book.rollout.model_copy(update={"advisories": (advisory,)})


@pytest.mark.parametrize("after_s", [0, 600, 1200, 1800])
def test_the_forecast_comes_true(after_s: float) -> None:
    played = forecast_sim()
    played.run(after_s)
    said = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    asked_at = played.now
    played.run()
    assert played.book.rollout.state is RolloutState.DONE
    took_s = (played.book.rollout.ended_at or asked_at) - asked_at
    assert 0.8 * took_s.total_seconds() < said.p50_s < 1.2 * took_s.total_seconds()
    assert said.p50_s <= said.p90_s


def test_guest_hours_so_far_and_to_come_add_up_to_what_they_were_in_the_end() -> None:
    played = forecast_sim()
    played.run(1500)
    middle = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    played.run()
    end = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    assert middle.guest_hours_so_far is not None and middle.guest_hours_to_come is not None
    assert end.guest_hours_so_far is not None and end.guest_hours_to_come == 0
    assert middle.guest_hours_so_far + middle.guest_hours_to_come == pytest.approx(
        end.guest_hours_so_far, rel=0.05
    )


def test_the_first_curve_counts_every_guest_until_it_is_on_a_fixed_host() -> None:
    # One guest of 4 GiB on one of two hosts: exposed until it has moved to the rebooted other.
    seen = fleet([host("a"), host("b")], [guest("g", "a")], reboot_s=3600.0)
    played = Sim(seen)
    exact = forecast(played.book, played.now, Asked(at_start={"g": "a"}))
    assert exact.guest_hours_to_come == pytest.approx(1.0, rel=0.15)


def test_the_cone_falls_from_all_exposed_hosts_to_none() -> None:
    played = forecast_sim()
    said = forecast(played.book, played.now, Asked())
    first, last = said.cone[0], said.cone[-1]
    assert (first.hosts_p10, first.hosts_p90) == (12, 12)
    assert last.hosts_p50 == 0
    for point in said.cone:
        assert point.hosts_p10 <= point.hosts_p50 <= point.hosts_p90


def test_hosts_that_miss_the_deadline_are_named_and_more_hosts_away_help() -> None:
    played = forecast_sim()
    due(played, 2700)
    said = forecast(played.book, played.now, Asked(remedies=True))
    assert said.chance_in_time is not None and 0.5 < said.chance_in_time < 0.9
    assert 0 < len(said.late_hosts) < 12
    assert said.deadline and all(one.p90_at > said.deadline for one in said.late_hosts)
    more = said.remedies[1]
    assert "max_hosts_away 3 -> 6" in more.change
    assert more.gain_p90_s > 0 and more.late_hosts < len(said.late_hosts)
    assert more.in_time and not said.remedies[2].in_time, "more moves at once are no help here"


def test_a_deadline_far_away_is_no_worry() -> None:
    played = forecast_sim()
    due(played, 86_400)
    said = forecast(played.book, played.now, Asked())
    assert said.chance_in_time == 1.0 and said.late_hosts == ()
    assert not outlook(played.book, played.now, Asked()).late_hosts


def test_a_pause_costs_about_its_own_length_and_names_who_is_half_emptied() -> None:
    played = forecast_sim()
    played.run(5)
    cost = pause_cost(played.book, played.now, 3600.0, Asked())
    assert cost.p50_later_s == pytest.approx(3600, rel=0.05)
    assert cost.p90_later_s == pytest.approx(3600, rel=0.05)
    assert cost.half_drained and cost.closed == len(cost.half_drained)
    assert cost.half_drained[0].guests_left > 0


def test_a_pause_that_is_over_before_anything_could_start_costs_nothing() -> None:
    played = Sim(fleet([host("a"), host("b", reboot=False)], [guest("g", "b")]))
    played.run(5)
    assert len(played.book.under_way) == 1, "the reboot of the only host to reboot"
    assert pause_cost(played.book, played.now, 60.0, Asked()).p50_later_s == 0


def test_a_pause_can_be_what_makes_the_rollout_late() -> None:
    played = forecast_sim()
    said = forecast(played.book, played.now, Asked())
    due(played, said.p90_s + 600)
    assert not pause_cost(played.book, played.now, 60.0, Asked()).makes_late
    assert pause_cost(played.book, played.now, 3600.0, Asked()).makes_late


def told(played: Sim, kind: str) -> list[str]:
    return [one.text for one in played.happenings if one.kind == kind]


def foresee(played: Sim) -> None:
    seen = outlook(played.book, played.now, Asked(runs=50))
    played.feed(Foreseen(played.now, seen))


def test_a_deadline_in_danger_is_told_once_and_once_when_it_is_safe_again() -> None:
    played = forecast_sim()
    due(played, 1000)
    foresee(played)
    foresee(played)
    assert len(told(played, "late")) == 1
    assert "hosts are likely to miss it" in told(played, "late")[0]
    assert played.book.rollout.outlook and played.book.rollout.outlook.late
    due(played, 86_400)
    foresee(played)
    foresee(played)
    assert len(told(played, "in_time")) == 1
    assert not played.book.rollout.outlook.late


def test_a_forecast_that_wavers_around_the_deadline_is_not_told_again_and_again() -> None:
    played = forecast_sim()
    said = outlook(played.book, played.now, Asked(runs=50))
    for minutes in (10, -1, 1, -1, 1, -30, 1):
        deadline = said.p90_at - timedelta(minutes=minutes)
        seen = said.model_copy(update={"deadline": deadline})
        played.feed(Foreseen(played.now, seen))
    assert (len(told(played, "late")), len(told(played, "in_time"))) == (2, 1)


def test_nothing_is_left_of_a_rollout_that_has_ended() -> None:
    played = forecast_sim()
    played.run()
    said = forecast(played.book, played.now, Asked())
    assert (said.p50_s, said.p90_s, said.moves_left, said.cone) == (0, 0, 0, ())


def test_a_thousand_hosts_are_forecast_from_the_first_moment() -> None:
    hosts = [host(f"h{n:03}", gib=64, group=f"r{n % 20}") for n in range(1000)]
    guests = [guest(f"g{n}", f"h{n % 1000:03}", gib=4) for n in range(12000)]
    played = Sim(fleet(hosts, guests, canary_hosts=1, gates="canary"))
    said = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    assert said.moves_left > 12_000 and said.reboots_left == 1000
    planned_s = played.book.rollout.planned_makespan_s
    assert planned_s < said.p50_s < 1.3 * planned_s
