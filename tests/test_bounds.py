"""What the bounds say of fleets that can be followed by hand."""

from __future__ import annotations

import pytest

from planner.bounds import makespan_lower_bound_s, moves_lower_bound
from planner.fleet import Fleet
from tests.make import fleet, guest, host

# One GiB takes 10 s and nothing else takes time, so that sums can be done by head.
SLOW = {"move_setup_s": 0.0, "stream_mbps": 1024 * 8.388608 / 10, "dirty_factor": 1.0}


def equal_hosts(n: int, guests_each: int, *, gib: float = 16, **policy: object) -> Fleet:
    hosts = [host(f"h{i}", gib=64) for i in range(n)]
    guests = [guest(f"g{i}-{j}", f"h{i}", gib=gib) for i in range(n) for j in range(guests_each)]
    return fleet(hosts, guests, **(SLOW | policy))


def test_each_guest_moves_once_and_those_of_the_first_host_twice() -> None:
    assert moves_lower_bound(equal_hosts(5, 3)) == 5 * 3 + 3


def test_one_empty_host_saves_the_second_moves() -> None:
    rolled = equal_hosts(5, 3)
    with_empty = rolled.model_copy(update={"hosts": (*rolled.hosts, host("e"))})
    assert moves_lower_bound(with_empty) == 15


@pytest.mark.parametrize(("gib", "moves"), [(15, 18), (17, 17), (47, 16), (48, 15)])
def test_a_small_empty_host_saves_what_it_holds(gib: float, moves: int) -> None:
    rolled = equal_hosts(5, 3)
    small = host("e", gib=gib, reboot=False)
    both = rolled.model_copy(update={"hosts": (*rolled.hosts, small)})
    assert moves_lower_bound(both) == moves


def test_pools_add_up() -> None:
    hosts = [host(f"{pool}{i}", pool=pool) for pool in "ab" for i in range(3)]
    guests = [guest(f"g{h.name}{j}", h.name) for h in hosts for j in range(2)]
    assert moves_lower_bound(fleet(hosts, guests)) == 12 + 2 + 2


def test_what_a_tag_confines_counts_by_itself() -> None:
    """The empty host offers no `san`: on the first host with it, its guests that need it park."""
    hosts = [host("a", offers=["san"]), host("b", offers=["san"]), host("e")]
    guests = [guest(f"{h}{i}", h, needs=["san"] * (i < 2)) for h in "ab" for i in range(3)]
    assert moves_lower_bound(fleet(hosts, guests)) == 6 + 2


def test_vcpus_can_be_what_is_short() -> None:
    hosts = [*(host(f"h{i}", cpus=4) for i in range(4)), host("spare", cpus=1, reboot=False)]
    guests = [guest(f"g{i}{j}", f"h{i}", gib=1, vcpus=4) for i in range(4) for j in range(3)]
    # The spare host takes one of the three, its limit is four vCPUs.
    assert moves_lower_bound(fleet(hosts, guests)) == 12 + 2


def test_guests_that_never_move_ask_for_no_moves() -> None:
    hosts = [host("a"), host("b"), host("c")]
    guests = [guest("gpu", "a", evacuation="restart"), guest("odd", "b", evacuation="hold")]
    assert moves_lower_bound(fleet(hosts, guests)) == 0


def test_a_blocked_host_asks_for_nothing_and_may_take_guests_in() -> None:
    assert moves_lower_bound(equal_hosts(3, 2), ["h0"]) == 4


def test_nothing_to_reboot_takes_no_time() -> None:
    idle = fleet([host("a", reboot=False)], [guest("g", "a")])
    assert (moves_lower_bound(idle), makespan_lower_bound_s(idle)) == (0, 0.0)


def test_a_host_takes_its_drain_stop_reboot_and_start() -> None:
    guests = [guest("m", "a", gib=8), guest("r", "a", evacuation="restart")]
    rolled = fleet([host("a"), host("b", reboot=False)], guests, **SLOW)
    assert makespan_lower_bound_s(rolled) == pytest.approx(80 + 30 + 420 + 30, abs=0.01)


def test_two_streams_share_the_moves_off_a_host_but_none_is_split() -> None:
    three = [guest(f"g{i}", "a", gib=8) for i in range(3)]
    rolled = fleet([host("a"), host("b", reboot=False)], three, **SLOW)
    assert makespan_lower_bound_s(rolled) == pytest.approx(160 + 420, abs=0.01)


def test_no_more_hosts_than_the_limit_are_away_at_once() -> None:
    empty = fleet([host(f"h{i}") for i in range(7)], max_hosts_away=2)
    assert makespan_lower_bound_s(empty) == pytest.approx(4 * 420, abs=0.01)


def test_no_more_hosts_of_a_group_than_its_limit_are_away_at_once() -> None:
    hosts = [host(f"h{i}", group="rack" if i < 4 else None) for i in range(7)]
    limited = fleet(hosts, max_hosts_away=7, max_hosts_away_per_group=1)
    assert makespan_lower_bound_s(limited) == pytest.approx(4 * 420, abs=0.01)


def test_a_canary_wave_comes_back_before_anything_else_reboots() -> None:
    hosts = [host(f"h{i}") for i in range(7)]
    empty = fleet(hosts, max_hosts_away=3, canary_hosts=1, gates="canary")
    assert makespan_lower_bound_s(empty) == pytest.approx(3 * 420, abs=0.01)


def test_gated_waves_come_one_after_another() -> None:
    hosts = [host(f"h{i}") for i in range(7)]
    empty = fleet(hosts, max_hosts_away=7, gates="every", wave_hosts=2)
    assert makespan_lower_bound_s(empty) == pytest.approx(4 * 420, abs=0.01)


def test_full_hosts_of_a_small_pool_follow_one_another() -> None:
    """Room for one host of four: while one is away, half of the next has nowhere to go yet."""
    rolled = equal_hosts(4, 5, gib=9.6, max_hosts_away=4)
    # 64 GiB free in all: drain 48 GiB by two streams, four reboots, three times 64 GiB to empty.
    assert makespan_lower_bound_s(rolled) == pytest.approx(288 + 4 * 420 + 3 * 320, rel=0.05)


def test_the_moves_that_may_be_spent_bound_the_first_generation() -> None:
    """Half-full hosts, none empty: two first ones, room for four after them, then eight …"""
    rolled = equal_hosts(40, 8, gib=4, max_hosts_away=40, extra_moves=0.0)
    assert makespan_lower_bound_s(rolled, moves=10_000) >= 2 * 420
    assert makespan_lower_bound_s(rolled) >= makespan_lower_bound_s(rolled, moves=10_000) + 2 * 420


def test_a_host_too_large_for_the_room_left_is_no_failure() -> None:
    stuck = fleet([host("a"), host("b")], [guest("g", "a", gib=60), guest("k", "b", gib=60)])
    assert moves_lower_bound(stuck) >= 2
    assert makespan_lower_bound_s(stuck) >= 2 * 420
