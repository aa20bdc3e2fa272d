"""No plan of ours is below the bounds that its summary states, whatever the fleet."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings

from planner.arrays import arrays_of
from planner.bounds import bounds_of
from planner.evacuate import plan_rollout
from planner.fleet import Evacuation, Fleet, Guest, Host
from planner.options import PlanOptions
from planner.plan import Plan
from tests.fleets import small_fleets
from tests.make import fleet, guest, host


def assert_above_bounds(seen: Fleet, made: Plan) -> None:
    """Plan and bounds that know of its blocked hosts; the summary says the same."""
    arrays = arrays_of(seen)
    blocked = [arrays.host_index[entry.host] for entry in made.blocked]
    bounds = bounds_of(arrays, blocked)
    told = made.summary
    assert bounds.moves <= told.moves
    assert bounds.makespan_s(told.moves) <= told.makespan_s + 1e-6
    assert told.moves_lower_bound == bounds.moves
    assert told.makespan_lower_bound_s == bounds.makespan_s(told.moves)


@settings(max_examples=60, deadline=None)
@given(small_fleets())
def test_plans_of_small_fleets_of_every_kind_are_above_the_bounds(seen: Fleet) -> None:
    assert_above_bounds(seen, plan_rollout(seen, "x", PlanOptions()))


def middling_fleet(seed: int) -> Fleet:
    """Twenty to sixty hosts of some sizes, filled alike, with limits that rule the makespan."""
    random = Random(seed)
    fill = random.choice([0.3, 0.6, 0.8, 0.9])
    hosts: list[Host] = []
    guests: list[Guest] = []
    for n in range(random.randint(20, 60)):
        gib = random.choice([64, 128, 128, 256])
        hosts.append(host(f"h{n}", gib=gib, cpus=gib / 4, group=random.choice("abcd")))
        left = int(gib * fill)
        while left:
            size = min(left, random.choice([1, 2, 4, 8, 16, 32]))
            left -= size
            how = "restart" if random.random() < 0.02 else "move"
            guests.append(guest(f"g{len(guests)}", f"h{n}", gib=size, evacuation=how))
    return fleet(
        [h.model_copy(update={"reboot": random.random() < 0.95}) for h in hosts],
        guests,
        max_hosts_away=random.choice([2, 5, 60]),
        max_hosts_away_per_group=random.choice([None, 2]),
        canary_hosts=random.choice([0, 1, 3]),
        gates=random.choice(["none", "canary", "every"]),
        wave_hosts=random.choice([4, 50]),
        extra_moves=random.choice([0.0, 0.02, 0.2]),
        stream_mbps=random.choice([500.0, 4000.0, 40000.0]),
        max_fill=random.choice([1.0, 0.95]),
    )


@pytest.mark.parametrize("seed", range(8))
def test_plans_of_middling_fleets_are_above_the_bounds(seed: int) -> None:
    """Many seeds too: what the policy does not pay for is granted to the bound."""
    seen = middling_fleet(seed)
    for seed_hosts in (None, 1, len(seen.hosts) // 3):
        made = plan_rollout(seen, "x", PlanOptions(seed_hosts=seed_hosts))
        assert_above_bounds(seen, made)


def test_more_moves_never_lift_the_makespan_bound() -> None:
    bounds = bounds_of(arrays_of(middling_fleet(5)))
    steps = [bounds.makespan_s(bounds.moves + extra) for extra in (0, 20, 60, 200, 1000)]
    assert steps == sorted(steps, reverse=True)


def test_the_bound_of_a_fleet_that_only_restarts_is_its_reboots() -> None:
    hosts = [host(f"h{n}") for n in range(4)]
    guests = [guest(f"g{n}", f"h{n}", evacuation=Evacuation.RESTART) for n in range(4)]
    seen = fleet(hosts, guests, max_hosts_away=2)
    made = plan_rollout(seen, "x", PlanOptions())
    assert made.summary.makespan_s == pytest.approx(30 + 2 * 420 + 30)
    assert_above_bounds(seen, made)
