"""No plan of a tiny fleet is below the bounds, whichever; most of the time some plan meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from planner.bounds import makespan_lower_bound_s, moves_lower_bound
from planner.fleet import Fleet
from tests.exhaustive import TooMany, fewest_moves, shortest_makespan_s
from tests.tiny_fleets import tiny_fleet

Record = Callable[[str, object], None]


def fleets(
    seeds: range, most_hosts: int, most_guests: int
) -> Iterator[tuple[int, Fleet, list[str]]]:
    """Random fleets, each with its seed and the hosts that its rollout leaves out."""
    for seed in seeds:
        random = Random(seed)
        fleet = tiny_fleet(random, most_hosts, most_guests)
        yield seed, fleet, [h.name for h in fleet.hosts if h.reboot and random.random() < 0.1]


def test_no_plan_spends_fewer_moves_than_the_bound(record_property: Record) -> None:
    seen = met = 0
    for seed, fleet, blocked in fleets(range(2000), most_hosts=4, most_guests=6):
        fewest = fewest_moves(fleet, blocked)
        if fewest is None:
            continue
        bound = moves_lower_bound(fleet, blocked)
        assert bound <= fewest, f"seed {seed}: bound {bound}, but a plan has {fewest} moves"
        seen += 1
        met += bound == fewest
    print(f"moves: bound met on {met} of {seen} fleets")
    record_property("moves_bound_met", f"{met}/{seen}")
    assert seen > 1000
    assert met >= 0.95 * seen


@pytest.mark.parametrize(
    ("seeds", "most_hosts", "most_guests"), [(range(250), 3, 4), (range(250, 275), 4, 5)]
)
def test_no_plan_is_shorter_than_the_bound(
    seeds: range, most_hosts: int, most_guests: int, record_property: Record
) -> None:
    seen, met = 0, 0
    for seed, fleet, blocked in fleets(seeds, most_hosts, most_guests):
        try:
            shortest_s = shortest_makespan_s(fleet, blocked, most_states=40_000)
        except TooMany:
            continue
        if shortest_s is None:
            continue
        bound_s = makespan_lower_bound_s(fleet, blocked)
        assert bound_s <= shortest_s + 1e-6, f"seed {seed}: {bound_s} s, but {shortest_s} s is one"
        seen += 1
        met += bound_s >= shortest_s - 0.01
    print(f"makespan: bound met on {met} of {seen} fleets")
    record_property("makespan_bound_met", f"{met}/{seen}")
    assert met >= 0.5 * seen > 5


def test_a_fleet_that_cannot_be_rolled_has_no_plan_at_all() -> None:
    """The search itself: what it says of a host that nothing can empty."""
    unrollable = [
        fleet
        for _, fleet, blocked in fleets(range(60), most_hosts=2, most_guests=4)
        if fewest_moves(fleet, blocked) is None
    ]
    assert unrollable
    for fleet in unrollable[:5]:
        everyone = [host.name for host in fleet.hosts]
        assert fewest_moves(fleet, everyone) == 0
        assert moves_lower_bound(fleet, everyone) == 0
        assert makespan_lower_bound_s(fleet, everyone) == 0.0
