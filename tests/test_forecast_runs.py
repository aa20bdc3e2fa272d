"""How long work takes: hand-made cases, exact answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.wire import Kind
from scheduler.forecast_runs import Ceilings, Chance, Work, ends
from scheduler.forecast_speeds import AS_PLANNED, EXACT, Speed, Speeds, speed
from scheduler.forecast_works import ceilings, works_of
from tests.forecast_kit import LOOSE, forecast_sim, work
from tests.sim import Sim

ONCE = Chance(seed=1, runs=1)
MANY = Chance(seed=1, runs=200_000)
"""Enough for quantiles to be known better than the hundredth that they are compared to."""
P90_OF_A_NORMAL = 1.2815515655446004


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
    assert found
    for name, at in found.items():
        assert float(at[0]) == pytest.approx(book.steps[name].planned_end_s), name


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
