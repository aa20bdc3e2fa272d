"""A reading that many share: nobody waits for a newer one, and nobody gets one that is too old."""

from __future__ import annotations

import threading

import pytest

from scheduler.service.fragments import KEPT, Fragments
from scheduler.service.fresh import BUSY_OLD_S, TOO_OLD_S, Fresh
from tests.waiting import until


class Reading:
    """Counts how often it was made; can be held up, and can fail."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.count = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.made = threading.Semaphore(0)
        self.broken = False

    def make(self, before: int | None) -> int:
        assert self.may_go_on.wait(30)
        if self.broken:
            self.made.release()
            raise OSError("away")
        self.count += 1
        self.made.release()
        return self.count

    def fresh(self, max_age_s: float = 1.0) -> Fresh[int]:
        return Fresh(self.make, lambda: self.now_s, max_age_s)


def test_a_young_value_is_not_made_again() -> None:
    reading = Reading()
    fresh = reading.fresh()
    assert [fresh.get(), fresh.get()] == [1, 1]


def test_an_older_one_is_given_at_once_while_a_new_one_is_made() -> None:
    reading = Reading()
    fresh = reading.fresh()
    assert fresh.get() == 1 and reading.made.acquire(timeout=30)
    reading.now_s += 2
    reading.may_go_on.clear()
    assert [fresh.get() for _ in range(10)] == [1] * 10
    reading.may_go_on.set()
    assert reading.made.acquire(timeout=30)
    reading.now_s += 0.5
    until(lambda: fresh.last == 2, "the thread hands it over")
    assert fresh.get() == 2 and reading.count == 2


def test_a_failure_in_the_background_waits_for_who_asks_when_the_value_is_too_old() -> None:
    reading = Reading()
    fresh = reading.fresh()
    assert fresh.get() == 1 and reading.made.acquire(timeout=30)
    reading.broken = True
    reading.now_s += 2
    assert fresh.get() == 1 and reading.made.acquire(timeout=30)
    until(lambda: not fresh._lock.locked(), "the end of the thread's work")
    reading.now_s += TOO_OLD_S
    with pytest.raises(OSError, match="away"):
        fresh.get()


def test_one_that_is_too_old_is_never_given() -> None:
    reading = Reading()
    fresh = reading.fresh()
    fresh.get()
    reading.now_s += TOO_OLD_S
    assert fresh.get() == 2
    reading.broken = True
    reading.now_s += TOO_OLD_S
    with pytest.raises(OSError, match="away"):
        fresh.get()
    reading.broken = False
    assert fresh.get() == 3


def test_while_one_waits_for_a_newer_value_the_others_get_the_one_that_is_there() -> None:
    reading = Reading()
    fresh = reading.fresh()
    assert fresh.get() == 1 and reading.made.acquire(timeout=30)
    reading.now_s += TOO_OLD_S
    reading.may_go_on.clear()
    got: list[int] = []
    one = threading.Thread(target=lambda: got.append(fresh.get()))
    one.start()
    until(lambda: fresh.busy, "somebody makes a newer value")
    assert [fresh.get() for _ in range(50)] == [1] * 50 and got == []
    reading.now_s += BUSY_OLD_S
    late = threading.Thread(target=lambda: got.append(fresh.get()))
    late.start()
    reading.may_go_on.set()
    one.join(30)
    late.join(30)
    assert got == [2, 2] or sorted(got) == [2, 3]


def test_without_an_age_every_caller_gets_a_new_one() -> None:
    reading = Reading()
    fresh = reading.fresh(0)
    assert [fresh.get(), fresh.get(), fresh.get()] == [1, 2, 3]


def test_a_fragment_belongs_to_the_view_it_was_made_from() -> None:
    fragments = Fragments()
    first, second = object(), object()
    assert fragments.get("page", first, lambda: b"one") == b"one"
    assert fragments.get("page", first, lambda: b"two") == b"one"
    assert fragments.get("page", second, lambda: b"two") == b"two"
    for number in range(KEPT + 5):
        fragments.get(number, first, lambda: b"")
    assert fragments.get("page", second, lambda: b"again") == b"again"
