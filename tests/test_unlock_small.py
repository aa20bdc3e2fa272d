"""A search of all orders in small parts of the fleet: no host stays blocked that need not."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from planner.arrays import Arrays, arrays_of
from planner.blocked import blocked_of
from planner.check import problems
from planner.evacuate import PlanOptions, plan_rollout
from planner.fleet import Evacuation, Fleet
from planner.grow import Grower, Recipe
from planner.plan import Plan
from planner.state import Move, Reboot, State
from planner.unlock_small import (
    MOST_GUESTS,
    MOST_HOSTS,
    Way,
    impossible,
    search,
    small_parts,
    ways_out,
)
from tests.exhaustive import fewest_moves
from tests.make import fleet, guest, host
from tests.tiny_fleets import tiny_fleet

SHA = "0" * 64


def trap(pool: str = "default") -> Fleet:
    """`a` runs the newest Xen. The easy guest of `b`, moved there, takes the room for good that
    the one of `c` with needs can find nowhere else.
    """
    hosts = [
        host(pool + "a", gib=8, xen="4.19", reboot=False, offers=("disk",), pool=pool),
        host(pool + "b", gib=10, xen="4.17", pool=pool),
        host(pool + "c", gib=8, xen="4.17", offers=("disk",), pool=pool),
    ]
    guests = [
        guest(pool + "stays", pool + "a", gib=4),
        guest(pool + "easy", pool + "b", gib=3),
        guest(pool + "picky", pool + "c", gib=3, needs=("disk",)),
        guest(pool + "large", pool + "c", gib=4),
    ]
    return fleet(hosts, guests)


def whole(seen: Fleet, most: int = 40_000) -> tuple[Arrays, Way]:
    """The search of a fleet that is one closed part."""
    arrays = arrays_of(seen)
    return arrays, search(State(arrays), range(len(arrays.hosts)), most=most)


def planned(seen: Fleet) -> Plan:
    plan = plan_rollout(seen, SHA, PlanOptions())
    assert problems(seen, plan, SHA) == []
    return plan


def not_held(seen: Fleet, names: list[str]) -> list[str]:
    """Those of the hosts that hold no guest to be left alone."""
    held = {each.host for each in seen.guests if each.evacuation is Evacuation.HOLD}
    return [name for name in names if name not in held]


def fewest_blocked(seen: Fleet) -> int:
    """Hosts that even the best plan leaves blocked, by the exhaustive search of the tests."""
    hosts = not_held(seen, [each.name for each in seen.hosts if each.reboot])
    return next(
        many
        for many in range(len(hosts) + 1)
        if any(fewest_moves(seen, left) is not None for left in combinations(hosts, many))
    )


def test_a_way_is_found_where_the_easiest_host_first_leads_into_a_trap() -> None:
    arrays, way = whole(trap())
    assert sorted(a.host for a in way.actions if isinstance(a, Reboot)) == [1, 2]
    assert way.left(arrays) == set()
    assert sum(isinstance(a, Move) for a in way.actions) == fewest_moves(trap())


def test_growing_alone_falls_into_the_trap_and_a_plan_does_not() -> None:
    grower = Grower(arrays_of(trap()), Recipe(extra=0))
    grower.run()
    assert [list(hosts) for hosts in grower.waiting] == [[2]]
    assert planned(trap()).blocked == ()


def test_several_small_parts_get_out_of_their_traps_each_in_its_own_way() -> None:
    parts = [trap("x"), trap("y")]
    both = fleet([h for part in parts for h in part.hosts], [g for p in parts for g in p.guests])
    assert planned(both).blocked == ()


@pytest.mark.parametrize(("seed", "size"), [(476, (4, 6)), (30, (4, 6)), (359, (5, 9))])
def test_fleets_that_once_kept_a_host_blocked_without_need(
    seed: int, size: tuple[int, int]
) -> None:
    seen = tiny_fleet(Random(seed), *size)
    blocked = not_held(seen, [each.host for each in planned(seen).blocked])
    assert len(blocked) == fewest_blocked(seen), f"seed {seed}"


@pytest.mark.parametrize("first", range(5000, 5100, 10))
def test_a_plan_leaves_as_many_hosts_blocked_as_the_best_of_all_plans(first: int) -> None:
    for seed in range(first, first + 10):
        seen = tiny_fleet(Random(seed), most_hosts=4, most_guests=8)
        blocked = not_held(seen, [each.host for each in planned(seen).blocked])
        assert len(blocked) == fewest_blocked(seen), f"seed {seed}"


def test_a_search_frees_what_the_best_plan_does_with_as_few_moves() -> None:
    for seed in range(200):
        seen = tiny_fleet(Random(seed))
        arrays, way = whole(seen)
        left = [arrays.hosts[n].name for n in way.left(arrays)]
        assert len(left) == fewest_blocked(seen), f"seed {seed}"
        if not left:
            moves = sum(isinstance(action, Move) for action in way.actions)
            assert moves == fewest_moves(seen), f"seed {seed}"


def test_what_a_search_says_can_never_be_emptied_no_plan_empties() -> None:
    proven = 0
    for seed in range(200):
        seen = tiny_fleet(Random(seed), most_hosts=3)
        names = not_held(seen, [each.name for each in seen.hosts if each.reboot])
        arrays, way = whole(seen)
        for stuck in way.never:
            name = arrays.hosts[stuck].name
            proven += 1
            others = [each for each in names if each != name]
            for many in range(len(others) + 1):
                for blocked in combinations(others, many):
                    assert fewest_moves(seen, blocked) is None, f"seed {seed}, {name}"
    assert proven > 20


@pytest.mark.parametrize("seed", [213, 214, 267])
def test_where_no_order_of_moves_helps_that_is_the_reason_told(seed: int) -> None:
    seen = tiny_fleet(Random(seed))
    arrays = arrays_of(seen)
    proven = {arrays.hosts[n].name for n in impossible(arrays, range(len(arrays.hosts)))}
    told = {
        each.host
        for each in planned(seen).blocked
        if each.reasons[0].reason.startswith("no plan: no order of moves and reboots")
    }
    assert told and told <= proven, f"seed {seed}"


def test_a_search_that_ends_early_proves_nothing_and_its_moves_are_sound() -> None:
    for most in (1, 5, 20, 100):
        arrays, way = whole(trap(), most)
        assert way.never == frozenset()
        state = State(arrays)
        for action in way.actions:
            if isinstance(action, Move):
                assert arrays.guest_mib[action.guest] <= state.free_mib[action.destination]
                state.move(action.guest, action.destination, action.serves)
            else:
                assert state.movable(action.host) == []
                state.reboot(action.host)


def test_the_same_fleet_gives_the_same_way_and_keeps_the_state() -> None:
    seen = tiny_fleet(Random(359), 5, 9)
    arrays = arrays_of(seen)
    state = State(arrays)
    hosts = range(len(arrays.hosts))
    assert search(state, hosts) == search(state, hosts)
    assert state.sequence == [] and state.guest_at == arrays.guest_host


def test_parts_that_are_large_are_left_alone() -> None:
    hosts = [host(f"h{n}", gib=10) for n in range(MOST_HOSTS + 1)]
    many = fleet(hosts, [guest(f"g{n}", f"h{n}", gib=6) for n in range(len(hosts))])
    assert small_parts(arrays_of(many), range(len(hosts))) == []
    few = [guest(f"g{n}", f"h{n % 2}", gib=1) for n in range(MOST_GUESTS + 1)]
    assert small_parts(arrays_of(fleet(hosts[:2], few)), range(2)) == []
    assert ways_out(arrays_of(many), range(len(hosts))) == []


def test_the_reason_of_a_known_host_is_told_before_any_search() -> None:
    state = State(arrays_of(trap()))
    reasons = {each.host: each.reasons[0].reason for each in blocked_of(state, {1: "not seen"})}
    assert reasons["defaultb"] == "not seen"
