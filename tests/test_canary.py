"""The first wave: the hosts that put the most guest classes to the test, with the fewest guests."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from planner.arrays import Arrays, arrays_of
from planner.canary import choose_canary, coverage
from planner.fleet import Fleet
from tests.make import fleet, guest, host


def with_classes(**hosts: str) -> Fleet:
    """A host for each keyword; its value has a letter for each guest's class, `.` for none."""
    guests = [
        guest(f"{name}-{n}", name, guest_class=None if letter == "." else letter)
        for name, letters in hosts.items()
        for n, letter in enumerate(letters)
    ]
    return fleet([host(name) for name in hosts], guests)


def chosen(seen: Fleet, canary_hosts: int) -> list[str]:
    arrays = arrays_of(seen)
    hosts = choose_canary(arrays, range(len(arrays.hosts)), canary_hosts)
    return [arrays.hosts[n].name for n in hosts]


def test_one_canary_is_the_host_with_the_most_classes() -> None:
    assert chosen(with_classes(a="xx", b="xyz", c="xy"), 1) == ["b"]


def test_among_equals_it_is_the_host_with_the_fewest_guests_at_risk() -> None:
    assert chosen(with_classes(a="xxxyy", b="xy.", c="xyy"), 1) == ["b"]


def test_two_canaries_complete_each_other() -> None:
    assert chosen(with_classes(a="uvwx", b="uvyz", c="uvxy"), 2) == ["a", "b"]


def test_the_best_pair_need_not_hold_the_best_host() -> None:
    assert chosen(with_classes(a="uvwx", b="uvy", c="wxz"), 2) == ["b", "c"]


def test_a_second_canary_that_adds_no_class_is_left_out() -> None:
    assert chosen(with_classes(a="xy", b="x", c="y"), 3) == ["a"]


def test_without_classes_the_host_with_the_fewest_guests_goes_first() -> None:
    assert chosen(with_classes(a="..", b=".", c="..."), 2) == ["b"]


def test_only_candidates_are_chosen_and_none_without_a_canary_wave() -> None:
    arrays = arrays_of(with_classes(a="xyz", b="x"))
    assert choose_canary(arrays, [1], 1) == [1]
    assert choose_canary(arrays, [0, 1], 0) == []
    assert choose_canary(arrays, [], 2) == []


def test_coverage_names_the_classes_that_move_and_those_left_out() -> None:
    hosts = [host("a"), host("b"), host("idle", reboot=False)]
    guests = [
        guest("m", "a", guest_class="pvh"),
        guest("r", "a", guest_class="hvm", evacuation="restart"),
        guest("o", "b", guest_class="hvm"),
        guest("p", "b", guest_class="i386"),
        guest("q", "idle", guest_class="pv"),
    ]
    arrays = arrays_of(fleet(hosts, guests))
    found = coverage(arrays, [0])
    assert found.covered == ("pvh",)
    assert found.not_covered == ("hvm", "i386")


def value(arrays: Arrays, hosts: tuple[int, ...]) -> tuple[int, int, int]:
    classes = {arrays.guests[g].guest_class for h in hosts for g in arrays.guests_of[h]} - {None}
    return -len(classes), sum(len(arrays.guests_of[h]) for h in hosts), len(hosts)


@pytest.mark.parametrize("seed", range(30))
def test_no_other_set_of_hosts_is_better(seed: int) -> None:
    random = Random(seed)
    letters = "uvwxyz."
    seen = with_classes(
        **{f"h{n}": "".join(random.choices(letters, k=random.randint(0, 4))) for n in range(8)}
    )
    arrays = arrays_of(seen)
    for many in (1, 2, 3):
        hosts = choose_canary(arrays, range(8), many)
        others = (set_ for k in range(1, many + 1) for set_ in combinations(range(8), k))
        assert value(arrays, tuple(hosts)) == min(value(arrays, set_) for set_ in others), seed


def test_ten_thousand_hosts_with_many_classes_have_a_canary() -> None:
    random = Random(7)
    classes = [f"linux-{n}" for n in range(60)]
    hosts = [host(f"h{n}") for n in range(10_000)]
    guests = [
        guest(f"g{n}", f"h{n // 3}", gib=1, guest_class=random.choice(classes))
        for n in range(30_000)
    ]
    arrays = arrays_of(fleet(hosts, guests))
    canary = choose_canary(arrays, range(len(hosts)), 10)
    assert 0 < len(canary) <= 10
    assert len(coverage(arrays, canary).covered) >= 28
