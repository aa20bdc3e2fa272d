"""The statistics of few crashes, against exact fractions, closed forms and simulation."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import product

import pytest

from scheduler.binomial import at_least, at_most, interval
from scheduler.budget import PRIOR, evidence, exceeded, in_words
from scheduler.hazard import Stratum, alarm, compare, low_bound

HALF_PER_CENT = Fraction(1, 200)


def exact_at_most(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("p", [Fraction(1, 200), Fraction(1, 3), Fraction(9, 10)])
def test_binomial_sums_are_those_of_exact_fractions(n: int, p: Fraction) -> None:
    for k in range(n + 1):
        assert at_most(k, n, float(p)) == pytest.approx(float(exact_at_most(k, n, p)), rel=1e-10)
        above = float(1 - exact_at_most(k - 1, n, p))
        assert at_least(k, n, float(p)) == pytest.approx(above, rel=1e-10)


def test_no_crash_in_n_moves_has_the_upper_bound_of_the_closed_form() -> None:
    for n in (1, 10, 600, 12_000):
        assert interval(0, n)[0] == 0.0
        assert interval(0, n)[1] == pytest.approx(1 - 0.025 ** (1 / n), rel=1e-9)
        assert interval(n, n)[0] == pytest.approx(0.025 ** (1 / n), rel=1e-9)
        assert interval(n, n)[1] == 1.0
    assert interval(0, 0) == (0.0, 1.0)


def test_the_interval_of_one_in_ten_is_the_published_one() -> None:
    # R: binom.test(1, 10)$conf.int
    assert list(interval(1, 10)) == pytest.approx([0.002528579, 0.445016117])


def test_at_the_ends_of_the_interval_the_exact_tails_are_two_and_a_half_per_cent() -> None:
    for k, n in ((1, 30), (3, 40), (17, 90)):
        low, high = (Fraction(end).limit_denominator(10**9) for end in interval(k, n))
        assert float(exact_at_most(k, n, high)) == pytest.approx(0.025, rel=1e-5)
        assert float(1 - exact_at_most(k - 1, n, low)) == pytest.approx(0.025, rel=1e-5)


def exact_evidence(k: int, n: int, budget: Fraction) -> Fraction:
    """The integral of the definition, term by term: (1-p)^m is a polynomial."""
    m = n - k + PRIOR - 1
    area = Fraction(0)
    for i in range(m + 1):
        power = k + i + 1
        area += Fraction((-1) ** i * math.comb(m, i), power) * (1 - budget**power)
    weight = PRIOR * area / (1 - budget) ** PRIOR
    return weight / (budget**k * (1 - budget) ** (n - k))


@pytest.mark.parametrize(("k", "n"), [(0, 0), (0, 50), (1, 1), (1, 90), (2, 27), (3, 74), (9, 60)])
def test_the_evidence_is_the_integral_that_defines_it(k: int, n: int) -> None:
    expected = float(exact_evidence(k, n, HALF_PER_CENT))
    assert evidence(k, n, 0.005) == pytest.approx(expected, rel=1e-9)


def test_one_crash_is_never_too_many_and_few_moves_make_two_of_them_so() -> None:
    assert not any(exceeded(1, n, 0.005, 0.05) for n in range(1, 2000))
    assert [n for n in range(2, 200) if exceeded(2, n, 0.005, 0.05)] == list(range(2, 28))
    assert max(n for n in range(3, 400) if exceeded(3, n, 0.005, 0.05)) == 74


def test_more_crashes_or_fewer_moves_are_never_less_evidence() -> None:
    for n, k in product(range(5, 120, 7), range(4)):
        assert evidence(k + 1, n, 0.005) > evidence(k, n, 0.005) > evidence(k, n + 1, 0.005)


def test_a_budget_of_nothing_and_a_budget_of_everything() -> None:
    assert exceeded(1, 1000, 0.0, 0.05) and not exceeded(0, 1000, 0.0, 0.05)
    assert not exceeded(1000, 1000, 1.0, 0.05)


def ever_exceeded(chance: random.Random, rate: float, moves: int) -> bool:
    crashed = 0
    for n in range(1, moves + 1):
        if chance.random() < rate:
            crashed += 1
            if exceeded(crashed, n, 0.005, 0.05):
                return True
    return False


def test_asked_after_every_crash_it_is_wrong_less_often_than_its_doubt() -> None:
    seed, rollouts = 20261122, 1000
    print(f"seed {seed}")
    chance = random.Random(seed)
    wrong = sum(ever_exceeded(chance, 0.005, 1500) for _ in range(rollouts))
    found = sum(ever_exceeded(chance, 0.05, 400) for _ in range(200))
    print(f"at the budget: {wrong} of {rollouts}; at ten times the budget: {found} of 200")
    assert wrong / rollouts <= 0.05
    assert found / 200 >= 0.95


def test_the_words_give_the_numbers_their_interval_and_the_budget() -> None:
    words = in_words(3, 40, 0.005)
    assert words == ("3 of 40 moved guests crashed: 7.5 % (95 %: 1.6 to 20 %), the budget is 0.5 %")


def exact_ratio_tail(stratum: Stratum, ratio: float) -> float:
    r, t1, t0 = (
        Fraction(x).limit_denominator(10**9) for x in (ratio, stratum.moved_h, stratum.other_h)
    )
    share = r * t1 / (r * t1 + t0)
    return float(1 - exact_at_most(stratum.moved_crashes - 1, stratum.crashes, share))


def test_one_stratum_gives_the_ratio_of_rates_and_exact_tails() -> None:
    # The textbook's cases of breast cancer after fluoroscopies: 41 in 28,010 and 15 in 19,017
    # person-years give 1.86.
    stratum = Stratum("all", 28_010, 41, 19_017, 15)
    ratio = compare([stratum])
    assert ratio.estimate == pytest.approx((41 / 28_010) / (15 / 19_017), rel=1e-9)
    assert ratio.estimate == pytest.approx(1.8558, abs=1e-4)
    assert exact_ratio_tail(stratum, ratio.low) == pytest.approx(0.025, rel=1e-6)
    assert ratio.high is not None
    upper = Stratum("all", 28_010, 42, 19_017, 14)  # P(X >= 42) = 1 - P(X <= 41)
    assert exact_ratio_tail(upper, ratio.high) == pytest.approx(0.975, rel=1e-6)


def test_strata_keep_apart_what_crashes_at_different_rates_anyway() -> None:
    # Within each kind the rates are equal; thrown together the moved ones look ten times worse.
    old = Stratum("old", 9_000, 90, 1_000, 10)
    new = Stratum("new", 1_000, 1, 9_000, 9)
    ratio = compare([old, new])
    assert ratio.estimate == pytest.approx(1.0, rel=1e-9)
    together = compare([Stratum("all", 10_000, 91, 10_000, 19)])
    assert together.estimate is not None and together.estimate > 4


def test_the_tails_over_strata_are_those_of_adding_up_every_case() -> None:
    strata = [Stratum("a", 300, 2, 500, 1), Stratum("b", 50, 1, 400, 3)]
    low = low_bound(strata, 0.025)
    total = 0.0
    for x, y in product(range(4), range(5)):
        if x + y >= 3:
            one, two = strata[0].share(low), strata[1].share(low)
            total += (
                math.comb(3, x)
                * one**x
                * (1 - one) ** (3 - x)
                * (math.comb(4, y) * two**y * (1 - two) ** (4 - y))
            )
    assert total == pytest.approx(0.025, rel=1e-9)


def test_nothing_is_claimed_where_nothing_crashed_or_nobody_was_moved() -> None:
    for stratum in (
        Stratum("a", 100, 0, 100, 0),
        Stratum("a", 0, 0, 900, 5),
        Stratum("a", 9, 5, 0, 0),
    ):
        ratio = compare([stratum])
        assert (ratio.estimate, ratio.low, ratio.high) == (None, 0.0, None)
        assert not alarm([stratum], 1)
    only_moved = compare([Stratum("a", 10, 4, 90, 0)])
    assert only_moved.estimate is None and only_moved.high is None and only_moved.low > 1


def false_alarm(chance: random.Random) -> bool:
    """Equal rates, looked at after each crash of a moved guest."""
    moved = looks = 0
    for number in range(1, 81):
        if chance.random() < 0.3:
            moved, looks = moved + 1, looks + 1
            if alarm([Stratum("a", 30, moved, 70, number - moved)], looks):
                return True
    return False


def test_alarms_looked_for_after_every_crash_are_false_less_often_than_their_doubt() -> None:
    seed = 42
    print(f"seed {seed}")
    chance = random.Random(seed)
    false = sum(false_alarm(chance) for _ in range(300))
    print(f"{false} of 300")
    assert false / 300 <= 0.025 + 0.02, "half of the doubt lies above 1"


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    seed = 7
    print(f"seed {seed}")
    chance = random.Random(seed)
    covered = 0
    for _ in range(300):
        moved = sum(chance.random() < 3 * 20 / (3 * 20 + 80) for _ in range(25))
        ratio = compare([Stratum("a", 20, moved, 80, 25 - moved)])
        covered += ratio.low <= 3 and (ratio.high is None or ratio.high >= 3)
    print(f"{covered} of 300")
    assert covered / 300 >= 0.95


def test_hundreds_of_crashes_in_many_strata_are_still_exact_sums() -> None:
    strata = [Stratum(str(n), 100, 20 + n, 100, 20) for n in range(12)]
    ratio = compare(strata)
    assert ratio.high is not None and ratio.estimate is not None
    assert 1 < ratio.low < ratio.estimate < ratio.high < 2
