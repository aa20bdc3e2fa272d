"""Moves under way: bytes, an honest time left, and when a move has taken too long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.wire import Attempt, AttemptState, Kind
from scheduler.flight import Flight, flight
from scheduler.limits import Limits
from scheduler.move_limits import alarm_s
from scheduler.rollout import StepState
from tests.make import fleet, guest, host
from tests.sim import START, Sim

MIB = 2**20


def after(seconds: float, sent_mib: float, said: str = "") -> Flight | None:
    """A guest of 1000 MiB."""
    attempt = Attempt(
        attempt_id="a",
        kind=Kind.MOVE,
        state=AttemptState.RUNNING,
        started_at=START,
        bytes_sent=int(sent_mib * MIB),
        output_tail=said,
    )
    return flight(attempt, 1000, START + timedelta(seconds=seconds))


def frames(number: int, done_mib: int, total_mib: int) -> str:
    return f"xc: progress: Frames iteration {number}: {done_mib * 256}/{total_mib * 256}  1%\n"


def test_in_the_first_round_only_a_lower_bound_is_known() -> None:
    seen = after(10, 250, frames(0, 250, 1000))
    assert seen is not None
    assert (seen.sent_mib, seen.rate_mib_s) == (250.0, 25.0)
    assert seen.left_low_s == pytest.approx(30.0) and seen.left_high_s is None
    assert seen.words.startswith("at least 30 s")


def test_rounds_that_shrink_give_a_range() -> None:
    said = frames(0, 1000, 1000) + frames(1, 50, 200)
    seen = after(42, 1050, said)
    assert seen is not None and seen.round == 1
    assert seen.left_low_s == pytest.approx(150 / 25)
    # Each of the four rounds that may follow has a fifth of the one before: 40 + 8 + 1.6 + 0.32.
    assert seen.left_high_s == pytest.approx((150 + 49.92) / 25)


def test_a_guest_that_writes_as_fast_as_it_is_sent_has_an_unknown_end() -> None:
    said = frames(0, 1000, 1000) + frames(1, 700, 700) + frames(2, 10, 720)
    seen = after(70, 1710, said)
    assert seen is not None
    assert seen.left_high_s is None and seen.words.startswith("unknown")


def test_more_than_its_memory_was_sent_and_xl_says_nothing() -> None:
    seen = after(60, 1500)
    assert seen is not None and seen.left_high_s is None
    assert "sends again" in seen.words


def test_nothing_is_claimed_before_anything_was_sent_or_without_counters() -> None:
    seen = after(1, 0)
    assert seen is not None and seen.left_low_s is None and "nothing was sent" in seen.words
    attempt = Attempt(attempt_id="a", kind=Kind.MOVE, state=AttemptState.RUNNING)
    assert flight(attempt, 1000, START) is None


def test_handshakes_before_the_memory_bound_nothing() -> None:
    seen = after(1, 0.04)
    assert seen is not None and seen.left_low_s is None and seen.rate_mib_s is None
    assert seen.words == "unknown: next to nothing was sent yet"


def test_a_long_time_is_said_in_minutes_too() -> None:
    seen = after(100, 100)
    assert seen is not None and seen.words.startswith("at least 900 s (15 min)")


def rolled() -> Sim:
    hosts = [host(f"h{n}", gib=16) for n in range(4)]
    sim = Sim(fleet(hosts, [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(12)]))
    sim.run()
    return sim


def test_the_limit_of_a_move_comes_from_its_memory_and_the_rate_that_was_measured() -> None:
    sim = rolled()
    moved = [s for s in sim.book.steps.values() if s.kind is Kind.MOVE]
    assert all(s.state is StepState.DONE and s.alarm_s for s in moved)
    assert moved[0].alarm_s == Limits().attempt_alarm_s, "nothing was measured yet"
    small, big = (alarm_s(room, sim.book, Limits()) for room in (1000, 100_000))
    assert small < big and small > 120
    assert big - 120 == pytest.approx(100 * (small - 120))


def test_an_order_carries_the_limit_that_its_step_notes() -> None:
    sim = rolled()
    limits = {order.soft_deadline_s for _, order in sim.ordered if order.kind is Kind.MOVE}
    assert len(limits) > 1
    step = next(s for s in sim.book.steps.values() if s.kind is Kind.MOVE)
    order = next(o for _, o in sim.ordered if o.step_id == step.id)
    assert order.soft_deadline_s == step.alarm_s
