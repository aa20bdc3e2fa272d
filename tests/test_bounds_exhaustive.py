"""No plan of a tiny fleet is below the bounds, whichever; most of the time some plan meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from planner.arrays import arrays_of
from planner.bounds import bounds_of, makespan_lower_bound_s, moves_lower_bound
from planner.bounds_growth import growth_bound_s
from planner.bounds_part import part_of
from planner.bounds_room import room_bound_s
from planner.fleet import Fleet
from tests.exhaustive import TooMany, fewest_moves, shortest_makespan_s
from tests.make import fleet, guest, host
from tests.tiny_fleets import ONE_MIB_PER_S, tiny_fleet

Record = Callable[[str, object], None]


def fleets(
    seeds: range, most_hosts: int, most_guests: int
) -> Iterator[tuple[int, Fleet, list[str]]]:
    """Random fleets, each with its seed and the hosts that its rollout leaves out."""
    for seed in seeds:
        random = Random(seed)
        rolled = tiny_fleet(random, most_hosts, most_guests)
        yield seed, rolled, [h.name for h in rolled.hosts if h.reboot and random.random() < 0.1]


def test_no_plan_spends_fewer_moves_than_the_bound(record_property: Record) -> None:
    seen = met = 0
    for seed, rolled, blocked in fleets(range(2000), most_hosts=4, most_guests=6):
        fewest = fewest_moves(rolled, blocked)
        if fewest is None:
            continue
        bound = moves_lower_bound(rolled, blocked)
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
    for seed, rolled, blocked in fleets(seeds, most_hosts, most_guests):
        try:
            shortest_s = shortest_makespan_s(rolled, blocked, most_states=40_000)
        except TooMany:
            continue
        if shortest_s is None:
            continue
        bound_s = makespan_lower_bound_s(rolled, blocked)
        assert bound_s <= shortest_s + 1e-6, f"seed {seed}: {bound_s} s, but {shortest_s} s is one"
        seen += 1
        met += bound_s >= shortest_s - 0.01
    print(f"makespan: bound met on {met} of {seen} fleets")
    record_property("makespan_bound_met", f"{met}/{seen}")
    assert met >= 0.5 * seen > 5


def alike_fleet(random: Random) -> Fleet:
    """Three roomy hosts of about one size, a guest on each: growth by generations."""
    hosts = [host(f"h{n}", gib=random.choice([8, 9, 10]) / 1024) for n in range(3)]
    guests = [guest(f"g{n}", f"h{n}", gib=random.choice([2, 3, 4]) / 1024) for n in range(3)]
    return fleet(
        hosts,
        guests,
        move_setup_s=1.0,
        stream_mbps=ONE_MIB_PER_S,
        dirty_factor=1.0,
        reboot_s=random.choice([3.0, 8.0, 20.0]),
        max_hosts_away=random.choice([2, 5]),
        max_moves_out_per_host=1,
        max_moves_in_per_host=random.choice([1, 2]),
    )


def test_no_plan_with_as_few_moves_is_shorter_than_growth_lets_it_be() -> None:
    """The bounds by themselves, with exactly as many extra moves as the search may spend."""
    seen = ruled = 0
    for seed in range(24):
        rolled = alike_fleet(Random(seed))
        bounds = bounds_of(arrays_of(rolled))
        for extra in (1, 2):
            part = part_of(bounds.numbers, bounds.parts, extra)
            growth_s, room_s = growth_bound_s(part), room_bound_s(part)
            most_moves = bounds.evacuated + extra
            try:
                shortest_s = shortest_makespan_s(rolled, (), 15_000, most_moves)
            except TooMany:
                continue
            if shortest_s is None:
                continue
            assert max(growth_s, room_s) <= shortest_s + 1e-6, f"seed {seed}, extra {extra}"
            seen += 1
            ruled += growth_s > room_s
    print(f"growth: {seen} searches, on {ruled} of them it is the larger bound")
    assert ruled > 0


def test_a_fleet_that_cannot_be_rolled_has_no_plan_at_all() -> None:
    """The search itself: what it says of a host that nothing can empty."""
    unrollable = [
        rolled
        for _, rolled, blocked in fleets(range(60), most_hosts=2, most_guests=4)
        if fewest_moves(rolled, blocked) is None
    ]
    assert unrollable
    for rolled in unrollable[:5]:
        everyone = [each.name for each in rolled.hosts]
        assert fewest_moves(rolled, everyone) == 0
        assert moves_lower_bound(rolled, everyone) == 0
        assert makespan_lower_bound_s(rolled, everyone) == 0.0
