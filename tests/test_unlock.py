"""Emptying hosts of full pools by exchanging guests elsewhere; and proofs that nothing does."""

from __future__ import annotations

from itertools import chain, combinations
from random import Random

import pytest

from planner.arrays import Arrays, arrays_of
from planner.fleet import Fleet, Guest
from planner.grow import Grower, Recipe
from planner.state import Move, State
from planner.unlock import Effort, easiest, unlock
from planner.unlock_gather import gather
from planner.unlock_order import in_order
from planner.unlock_proof import Proofs
from tests.exhaustive import fewest_moves
from tests.make import fleet, guest, host
from tests.tiny_fleets import tiny_fleet

QUICK = (Effort(16, 4, 2.0),)


def state_of(seen: Fleet) -> State:
    return State(arrays_of(seen))


def names(state: State) -> list[tuple[str, str]]:
    """The moves so far: guest and destination."""
    arrays = state.arrays
    return [
        (arrays.guests[a.guest].name, arrays.hosts[a.destination].name)
        for a in state.sequence
        if isinstance(a, Move)
    ]


def assert_sound(state: State) -> None:
    """Each move of the sequence has room, and keeps the rules, when its turn comes."""
    arrays = state.arrays
    again = State(arrays)
    for action in state.sequence:
        if not isinstance(action, Move):
            again.reboot(action.host)
            continue
        guest, to = action.guest, action.destination
        assert again.guest_at[guest] == action.source
        assert arrays.guest_mib[guest] <= again.free_mib[to]
        assert arrays.guest_vcpus[guest] <= again.free_vcpus[to]
        assert again.may_take(guest)[to]
        back = again.is_open[action.source] and arrays.reboot[action.source]
        assert not back or again.is_open[to]
        again.move(guest, to, action.serves)


def shuffled_room() -> Fleet:
    """Only an exchange empties `a`: its 6 GiB fit on `b` once a guest there has gone to `c`."""
    hosts = [host(name, gib=10) for name in "abc"]
    guests = [
        guest("six", "a", gib=6),
        guest("four", "b", gib=4),
        guest("two", "b", gib=2),
        guest("three", "c", gib=3),
        guest("too", "c", gib=2),
    ]
    return fleet(hosts, guests)


def test_a_host_is_emptied_by_an_exchange_between_others() -> None:
    state = state_of(shuffled_room())
    a = state.arrays.host_index["a"]
    assert unlock(state, [a]) == a
    assert state.movable(a) == []
    assert names(state)[0][0] in {"four", "two"}
    assert_sound(state)


def test_with_several_hosts_to_choose_from_the_cheapest_is_emptied() -> None:
    hosts = [host(name, gib=10) for name in "abcd"]
    sizes = {"a": (5, 4), "b": (3, 3, 2), "c": (2,), "d": (4, 4)}
    guests = [guest(f"{on}{n}", on, gib=g) for on, own in sizes.items() for n, g in enumerate(own)]
    state = state_of(fleet(hosts, guests))
    assert unlock(state, range(4)) == state.arrays.host_index["c"]
    assert len(state.sequence) == 1


def test_nothing_changes_where_no_host_can_be_emptied() -> None:
    state = state_of(fleet([host(n, gib=10) for n in "ab"], [guest(n, n, gib=9) for n in "ab"]))
    assert unlock(state, [0, 1]) is None
    assert state.sequence == []


def test_a_host_that_the_pool_has_no_room_to_lose_is_not_even_tried() -> None:
    state = state_of(fleet([host("a", gib=64), host("b", gib=8)], [guest("g", "a", gib=12)]))
    assert easiest(state, [0, 1]) == [1]


def test_guests_of_rebooted_hosts_stay_on_rebooted_hosts() -> None:
    hosts = [host("a", gib=10), host("b", gib=10), host("done", gib=10, reboot=True)]
    state = state_of(fleet(hosts, [guest("k", "a", gib=6), guest("g", "b", gib=5)]))
    a, done = state.arrays.host_index["a"], state.arrays.host_index["done"]
    state.reboot(done)
    state.move(1, done, 1)
    assert unlock(state, [a]) == a
    assert_sound(state)
    assert state.guest_at[1] == done


def test_guests_to_be_apart_and_their_needs_are_minded() -> None:
    hosts = [
        host("a", gib=10, offers=["san"]),
        host("b", gib=10, offers=["san"]),
        host("c", gib=10),
    ]
    guests = [
        guest("db1", "a", gib=4, apart=["db"], needs=["san"]),
        guest("db2", "b", gib=4, apart=["db"]),
    ]
    state = state_of(fleet(hosts, guests))
    assert unlock(state, [state.arrays.host_index["a"]]) == state.arrays.host_index["a"]
    assert names(state) == [("db2", "c"), ("db1", "b")]


def test_a_ring_of_guests_is_opened_by_a_detour() -> None:
    """`x` and `y` are to change places; neither has room before the other is gone."""
    hosts = [host("a", gib=10), host("b", gib=10), host("c", gib=7)]
    state = state_of(fleet(hosts, [guest("x", "a", gib=6), guest("y", "b", gib=7)]))
    steps = in_order(state, {0: 1, 1: 0})
    assert steps == [(1, 2), (0, 1), (1, 0)]


def test_a_ring_without_room_for_a_detour_has_no_order() -> None:
    hosts = [host("a", gib=10), host("b", gib=10), host("c", gib=5)]
    state = state_of(fleet(hosts, [guest("x", "a", gib=6), guest("y", "b", gib=7)]))
    assert in_order(state, {0: 1, 1: 0}) is None


def full_pool(seed: int, hosts: int = 12, fill: float = 0.9) -> Fleet:
    """Equal hosts, guests of 2 to 64 GiB, no empty host: no hole takes a large guest."""
    random = Random(seed)
    guests: list[Guest] = []
    for n in range(hosts):
        left = 256 * min(1.0, random.gauss(fill, 0.04))
        while left >= 2:
            gib = random.choice([g for g in (2, 4, 8, 16, 32, 64) if g <= left])
            left -= gib
            guests.append(guest(f"g{len(guests)}", f"h{n}", gib=gib))
            if left < 256 * (1 - fill) and random.random() < 0.5:
                break
    return fleet([host(f"h{n}", gib=256, cpus=64) for n in range(hosts)], guests)


@pytest.mark.parametrize("seed", range(4))
def test_a_host_of_a_full_pool_is_emptied_by_sound_moves(seed: int) -> None:
    state = state_of(full_pool(seed))
    emptied = unlock(state, range(12), QUICK)
    assert emptied is not None, f"seed {seed}"
    assert state.movable(emptied) == []
    assert_sound(state)


def test_the_same_question_gets_the_same_answer() -> None:
    answers = []
    for _ in range(2):
        state = state_of(full_pool(1))
        unlock(state, range(12), QUICK)
        answers.append(names(state))
    assert answers[0] == answers[1]


def test_a_host_is_emptied_bit_by_bit_from_a_state_that_stays_as_it_is() -> None:
    state = state_of(full_pool(2))
    steps = gather(state, 3, hosts=6)
    assert state.sequence == []
    assert steps is not None
    for moved, to in steps:
        state.move(moved, to, 3)
    assert state.movable(3) == []
    assert_sound(state)


def test_growing_with_unlocking_leaves_no_host_of_full_pools() -> None:
    arrays = arrays_of(full_pool(0, hosts=10, fill=0.88))
    grower = Grower(arrays, Recipe(0), lambda state, hosts: unlock(state, hosts, QUICK))
    state = grower.run()
    assert not any(grower.waiting)
    assert_sound(state)


# -- proofs ---------------------------------------------------------------------------------------


def proof(seen: Fleet, name: str, work: float = 0.0) -> list[tuple[str | None, str]]:
    arrays = arrays_of(seen)
    found = Proofs(arrays).never(arrays.host_index[name], work)
    return [(reason.guest, reason.reason) for reason in found]


def test_a_guest_that_no_other_host_is_large_enough_for_is_named() -> None:
    seen = fleet([host("a"), host("b", gib=8, cpus=1)], [guest("g", "a", gib=10, vcpus=6)])
    assert proof(seen, "a") == [
        ("g", "no plan: even with nothing else on it, b is 2048 MiB and 2 vCPUs short")
    ]


def test_a_guest_whose_needs_no_other_host_offers_is_named() -> None:
    seen = fleet([host("a", offers=["san"]), host("b")], [guest("g", "a", needs=["san"])])
    assert [named for named, _ in proof(seen, "a")] == ["g"]
    assert proof(seen, "b") == []


def test_a_pool_too_full_to_lose_a_host_is_told_by_how_much() -> None:
    hosts = [host(n, gib=10) for n in "abc"]
    guests = [guest(f"{n}{i}", n, gib=4) for n in "abc" for i in range(2)]
    ((named, reason),) = proof(fleet(hosts, guests), "a")
    assert named is None
    assert "4096 MiB short of room on the 2 others" in reason


def test_what_fits_in_sum_but_in_no_packing_is_proven_by_search() -> None:
    """Five of 6 GiB on two hosts of 16: 30 of 32 GiB, but only two fit on each."""
    hosts = [host(n, gib=16) for n in "abc"]
    guests = [guest(f"g{i}", "aabbc"[i], gib=6) for i in range(5)]
    seen = fleet(hosts, guests)
    assert proof(seen, "a") == []
    ((_, reason),) = proof(seen, "a", work=2.0)
    assert "packed in no way" in reason


def others_to_reboot(arrays: Arrays, host_name: str) -> list[list[str]]:
    """Every choice of further hosts that a plan might reboot as well: given as those it blocks."""
    others = [h.name for h in arrays.hosts if h.reboot and h.name != host_name]
    every = (combinations(others, k) for k in range(len(others) + 1))
    return [list(blocked) for blocked in chain.from_iterable(every)]


def test_what_is_proven_impossible_no_search_finds() -> None:
    proven = open_cases = 0
    for seed in range(150):
        seen = tiny_fleet(Random(seed), most_hosts=3, most_guests=5)
        arrays = arrays_of(seen)
        proofs = Proofs(arrays)
        for number, each in enumerate(arrays.hosts):
            if not each.reboot or arrays.held[number]:
                continue
            if not proofs.never(number, work=0.2):
                open_cases += 1
                continue
            proven += 1
            for blocked in others_to_reboot(arrays, each.name):
                assert fewest_moves(seen, blocked) is None, f"seed {seed}, {each.name}, {blocked}"
    assert proven > 30
    assert open_cases > 30
