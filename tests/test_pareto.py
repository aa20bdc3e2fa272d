"""Moves against makespan: which plans are shown, and which one a deadline picks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from planner.check import problems
from planner.evacuate import plan_rollout
from planner.fleet import Fleet
from planner.options import PlanOptions
from planner.pareto import curve, seed_counts
from planner.plan import Plan, Summary, load_plan
from scheduler.cli import build
from tests.make import fleet, fleet_json, guest, host, sha256


def half_full(n: int = 30) -> Fleet:
    hosts = [host(f"h{i}") for i in range(n)]
    guests = [guest(f"g{i}-{j}", f"h{i}", gib=8) for i in range(n) for j in range(4)]
    return fleet(hosts, guests, max_hosts_away=n)


def summary(moves: int, makespan_s: float, blocked: int = 0) -> Summary:
    return Summary(moves, 0, makespan_s, 0.0, 1, blocked, moves, 0, 0.0)


class Told:
    """Stands for the planner: what it says for each number of seeds, and what it was asked."""

    def __init__(self, **by_seeds: Summary) -> None:
        self.by_seeds = by_seeds
        self.asked: list[PlanOptions] = []

    def __call__(self, seen: Fleet, digest: str, options: PlanOptions) -> Plan:
        self.asked.append(options)
        return Plan(digest, (), (), (), self.by_seeds[f"s{options.seed_hosts}"])


TOLD = {
    "sNone": summary(110, 500.0),
    "s1": summary(101, 900.0),
    "s2": summary(103, 700.0),
    "s5": summary(120, 650.0),
}


def test_seed_counts_are_shares_of_the_hosts_to_reboot() -> None:
    idle = [host(f"i{n}", reboot=False) for n in range(100)]
    seen = half_full(30)
    assert seed_counts(seen) == [None, 1, 2, 5]
    assert seed_counts(seen.model_copy(update={"hosts": (*seen.hosts, *idle)})) == [None, 1, 2, 5]
    assert seed_counts(fleet(idle)) == [None]


def test_points_come_by_moves_and_say_where_another_is_better() -> None:
    found = curve(half_full(), "x", PlanOptions(), Told(**TOLD))
    assert [point.seed_hosts for point in found.points] == [1, 2, None, 5]
    assert [point.is_best for point in found.points] == [True, True, True, False]


def test_without_a_deadline_the_policys_own_plan_is_the_one() -> None:
    found = curve(half_full(), "x", PlanOptions(), Told(**TOLD))
    assert found.plan.summary == TOLD["sNone"]
    assert found.points[found.chosen].seed_hosts is None


@pytest.mark.parametrize(
    ("deadline_s", "moves", "meets"),
    [
        (1000.0, 101, True),
        (900.0, 101, True),
        (899.0, 103, True),
        (600, 110, True),
        (10, 110, False),
    ],
)
def test_a_deadline_picks_the_fewest_moves_that_meet_it(
    deadline_s: float, moves: int, meets: bool
) -> None:
    found = curve(half_full(), "x", PlanOptions(), Told(**TOLD), deadline_s)
    assert (found.plan.summary.moves, found.meets) == (moves, meets)


def test_fewer_blocked_hosts_go_before_a_deadline() -> None:
    told = Told(**TOLD | {"s1": summary(50, 100.0, blocked=1)})
    assert curve(half_full(), "x", PlanOptions(), told, 600.0).plan.summary.moves == 110


def test_the_time_limit_is_shared_by_the_points() -> None:
    told = Told(**TOLD)
    curve(half_full(), "x", PlanOptions(time_limit_s=8.0), told)
    assert [options.time_limit_s for options in told.asked] == [2.0] * 4


def test_real_plans_with_more_seeds_are_shorter_and_every_chosen_plan_is_valid() -> None:
    seen = half_full()
    digest = sha256(fleet_json(seen))
    found = curve(seen, digest, PlanOptions(), plan_rollout)
    assert found.points[0].summary.makespan_s > found.points[-1].summary.makespan_s
    for point in found.points:
        made = plan_rollout(seen, digest, replace(PlanOptions(), seed_hosts=point.seed_hosts))
        assert problems(seen, made, digest) == []
        assert made.summary.makespan_s >= made.summary.makespan_lower_bound_s
        assert made.summary.moves >= made.summary.moves_lower_bound


# -- through the command line ---------------------------------------------------------------------


def plan_command(folder: Path, *more: str) -> Result:
    (folder / "fleet.json").write_bytes(fleet_json(half_full()))
    files = [str(folder / "fleet.json"), "--output", str(folder / "plan.json")]
    return CliRunner().invoke(build("plan"), ["plan", *files, "--time-limit", "1", *more])


def test_pareto_as_a_table_writes_the_policys_plan(tmp_path: Path) -> None:
    result = plan_command(tmp_path, "--pareto")
    assert result.exit_code == 0
    assert "Moves against makespan" in result.output
    assert "written" in result.output
    made = load_plan((tmp_path / "plan.json").read_bytes())
    assert made.summary.hosts_rebooted == 30


def test_pareto_as_json_has_every_point_and_its_bounds(tmp_path: Path) -> None:
    result = plan_command(tmp_path, "--pareto", "--json")
    points = orjson.loads(result.stdout)["pareto"]
    assert sorted(p["seed_hosts"] or 0 for p in points) == [0, 1, 2, 5]
    assert [p["moves"] for p in points] == sorted(p["moves"] for p in points)
    assert all(p["makespan_s"] >= p["makespan_lower_bound_s"] > 0 for p in points)
    assert sum(p["chosen"] for p in points) == 1


def test_a_deadline_that_many_meet_is_met_with_the_fewest_moves(tmp_path: Path) -> None:
    result = plan_command(tmp_path, "--deadline-s", "1000000", "--json")
    assert result.exit_code == 0
    points = orjson.loads(result.stdout)["pareto"]
    made = load_plan((tmp_path / "plan.json").read_bytes())
    assert made.summary.moves == min(p["moves"] for p in points)


def test_a_deadline_that_none_meets_writes_nothing_and_says_what_can_be_had(tmp_path: Path) -> None:
    result = plan_command(tmp_path, "--deadline-s", "5")
    assert result.exit_code == 4
    assert "no plan found meets 5 s: the shortest takes" in result.output
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("deadline", ["nan", "-1", "soon"])
def test_a_deadline_that_is_no_time_is_refused(tmp_path: Path, deadline: str) -> None:
    result = plan_command(tmp_path, "--deadline-s", deadline)
    assert result.exit_code == 2
    assert "--deadline-s" in result.output
