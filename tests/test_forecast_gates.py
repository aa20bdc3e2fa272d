"""Forecasts keep to soak times, windows and notices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from agents.wire import Kind
from scheduler.forecast import Asked, finish, forecast
from scheduler.forecast_gates import Begins, OpenTimes, WaveAhead
from scheduler.forecast_pause import pause_cost
from scheduler.forecast_runs import Ceilings, Chance, Work, ends
from scheduler.forecast_speeds import AS_PLANNED, speeds
from scheduler.forecast_works import ceilings, works_of
from scheduler.gates import GatePolicy
from scheduler.rollout import GuestRecord, RolloutState
from scheduler.waves import WaveState
from scheduler.windows import Day, Window, Windows
from tests.forecast_gated import DAY_S, HOURLY, play_on, said, state
from tests.forecast_kit import LOOSE, work
from tests.make import fleet, guest, host
from tests.sim import START, Sim
from tests.test_gate_stories import play


def times(works: list[Work], ceilings: Ceilings = LOOSE, from_s: float = 0.0) -> dict[str, float]:
    """When each ends if all goes exactly as planned."""
    found = ends(works, ceilings, AS_PLANNED, Chance(seed=1, runs=1), from_s)
    return {name: float(at[0]) for name, at in found.items()}


def open_times(windows: Windows = HOURLY, now: datetime = START) -> OpenTimes:
    return OpenTimes(windows, now)


def opening(windows: Windows, now: datetime, at_s: float) -> float:
    return float(OpenTimes(windows, now).inside(np.array([at_s]))[0])


def test_a_wave_opens_a_soak_time_after_the_last_host_of_the_waves_before_is_back() -> None:
    second = WaveAhead(2, waits=True, awaits=("r1", "r2"), soak_s=600)
    works = [
        work("r1", Kind.REBOOT, 100, host="h1"),
        work("r2", Kind.REBOOT, 200, host="h2"),
        work("r3", Kind.REBOOT, 50, "r1", host="h3", wave=second),
    ]
    assert times(works) == {"r1": 100, "r2": 200, "r3": 200 + 600 + 50}


def test_what_has_soaked_for_a_while_soaks_only_for_the_rest() -> None:
    second = WaveAhead(2, waits=True, soak_s=600, soaked_s=250)
    assert times([work("r", Kind.REBOOT, 50, wave=second)]) == {"r": 300}


def test_a_host_begins_to_be_drained_in_a_window_and_then_goes_on_outside() -> None:
    wave = WaveAhead(1, times=open_times())
    works = [
        work("m1", Kind.MOVE, 500, host="h1", wave=wave, begins=Begins.HOST),
        work("m2", Kind.MOVE, 500, "m1", host="h1", wave=wave, begins=Begins.HOST),
        work("r1", Kind.REBOOT, 100, "m2", host="h1", wave=wave, begins=Begins.HOST),
        work("m3", Kind.MOVE, 100, "m2", host="h2", wave=wave, begins=Begins.HOST),
    ]
    # The window closes at 600: h1 goes on, h2 has not begun and waits for 3600.
    assert times(works) == {"m1": 500, "m2": 1000, "r1": 1100, "m3": 3700}


def test_room_is_made_for_a_wave_outside_its_window_only_while_a_host_of_it_is_drained() -> None:
    wave = WaveAhead(1, times=open_times())
    begun = [work("m1", Kind.MOVE, 700, host="h1", wave=wave, begins=Begins.HOST)]
    room = work("m2", Kind.MOVE, 100, "m1", host="x", wave=wave, begins=Begins.WAVE)
    assert times([*begun, room])["m2"] == 800
    running = [work("m1", Kind.MOVE, 700, ran_s=0.0)]
    assert times([*running, room])["m2"] == 3700


def test_a_host_that_waits_for_a_window_keeps_no_place_that_others_need_meanwhile() -> None:
    wave = WaveAhead(1, times=open_times())
    works = [
        work("m1", Kind.MOVE, 650, host="h1", destination="c", wave=wave, begins=Begins.HOST),
        # By the plan m2 comes before m3, and both go to b.
        work("m2", Kind.MOVE, 10, "m1", host="h2", wave=wave, begins=Begins.HOST),
        work("m3", Kind.MOVE, 10, "m1", host="h1", planned_start_s=1.0, wave=wave),
    ]
    one_at_once = Ceilings(moves_out=1, moves_in=1, away=1)
    assert times(works, one_at_once) == {"m1": 650, "m3": 660, "m2": 3610}


def test_a_guest_is_told_before_it_is_moved_and_again_before_its_next_move() -> None:
    wave = WaveAhead(1)
    first = work("m1", Kind.MOVE, 10, wave=wave, notice_s=120)
    second = work("m2", Kind.MOVE, 10, "m1", wave=wave, notice_s=120, told_after="m1")
    assert times([first, second]) == {"m1": 130, "m2": 130 + 120 + 10}
    assert times([first, second], from_s=60.0) == {"m1": 190, "m2": 190 + 130}


def test_windows_open_by_the_clocks_of_their_place_when_these_change() -> None:
    night = Windows(zone="Europe/Paris", windows=(Window(opens="01:00", closes="02:00"),))
    noon = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)  # clocks go forward in the night to the 28th
    hours = [opening(night, noon, at_s) / 3600 for at_s in (0.0, DAY_S, 2 * DAY_S)]
    assert hours == [12, 24 + 11, 48 + 11]


def test_windows_of_months_to_come_are_those_of_their_week() -> None:
    friday = Windows(
        zone="UTC", windows=(Window(days=(Day.FRI,), opens="20:00", closes="23:00"),)
    )  # START is a Sunday, 22:00
    first_s = 4 * DAY_S + 22 * 3600
    assert opening(friday, START, 0.0) == first_s
    for weeks in (1, 7, 8, 9, 30, 200):
        before_s = first_s + weeks * 7 * DAY_S - 3600
        assert opening(friday, START, before_s) == before_s + 3600
        assert opening(friday, START, before_s + 2 * 3600) == before_s + 2 * 3600, "it is open"


def waves_behind(sim: Sim) -> int:
    return sum(wave.behind is not None for wave in sim.book.waves.values())


def test_a_soak_time_moves_the_forecast_by_its_length_for_each_wave_that_waits() -> None:
    plain, soaked = play(), play(soak_s=3600)
    number = waves_behind(soaked)
    assert number >= 2
    for before, after in zip(said(plain), said(soaked), strict=True):
        assert after - before == pytest.approx(3600 * number, abs=1)


def test_a_window_that_opens_later_moves_the_forecast_to_its_opening() -> None:
    opens = Windows(zone="Europe/Paris", windows=(Window(opens="23:30", closes="22:30"),))
    for before, after in zip(said(play()), said(play(windows=opens)), strict=True):
        assert after - before == pytest.approx(1800, abs=1), "START is 23:00 in Paris"


def test_a_notice_moves_the_forecast_by_its_length_once() -> None:
    plain, told = play(), play()
    head = told.book.rollout
    told.book.rollout = head.model_copy(update={"notice_s": 600.0})
    gained = said(told)[0] - said(plain)[0]
    assert 600 <= gained <= 600 * (1 + waves_behind(told)), "each wave begins with a notice"


NIGHTS = Windows(zone="Europe/Paris", windows=(Window(opens="23:30", closes="00:15"),))
GATES: list[dict[str, Any]] = [
    {"soak_s": 3600},
    {"windows": NIGHTS, "soak_s": 1200},
    {"windows": HOURLY},
]


@pytest.mark.parametrize("after_s", [0, 3000])
@pytest.mark.parametrize("gates", GATES, ids=lambda gates: "-".join(gates))
def test_a_rollout_that_is_played_ends_within_what_was_forecast(
    gates: dict[str, Any], after_s: float
) -> None:
    sim = play(**gates)
    sim.run(after_s, step_s=5)
    assert state(sim) is RolloutState.RUNNING
    runs = 200
    works = works_of(sim.book, sim.now)
    found = ends(works, ceilings(sim.book.rollout), speeds(sim.book), Chance(seed=1, runs=runs))
    low_s, high_s = np.quantile(finish(found, runs), (0.05, 0.95))
    asked_at = sim.now
    play_on(sim)
    assert state(sim) is RolloutState.DONE
    took_s = ((sim.book.rollout.ended_at or asked_at) - asked_at).total_seconds()
    assert low_s <= took_s <= high_s


def test_the_curve_of_exposed_hosts_stands_still_while_a_wave_soaks() -> None:
    sim = play(soak_s=36_000)
    cone = forecast(sim.book, sim.now, Asked()).cone
    middle = [point.hosts_p50 for point in cone]
    assert middle[0] == 5 and middle[-1] == 0
    assert len({hosts for hosts in middle if middle.count(hosts) > 10}) == waves_behind(sim)


def test_a_pause_over_the_end_of_a_window_costs_the_time_to_the_next_one() -> None:
    sim = play(windows=HOURLY)
    assert pause_cost(sim.book, sim.now, 60.0, Asked()).p50_later_s < 120
    cost = pause_cost(sim.book, sim.now, 660.0, Asked())
    assert cost.p50_later_s == pytest.approx(3600, abs=1), "the window of this hour is over by then"


def test_a_pause_within_a_soak_time_costs_nothing() -> None:
    sim = play(soak_s=7200)
    while sim.book.waves[1].state is not WaveState.ENDED:
        sim.run(5)
    assert pause_cost(sim.book, sim.now, 3600.0, Asked()).p50_later_s == 0


def test_the_back_off_of_a_guest_under_an_older_plan_is_waited_for() -> None:
    sim = play()
    step = next(one for one in sim.book.startable() if one.kind is Kind.MOVE)
    rest_until = sim.now + timedelta(seconds=600)
    name = step.guest or ""
    sim.book.guests[name] = GuestRecord(name=name, host=step.host, rest_until=rest_until)
    (found,) = [one for one in works_of(sim.book, sim.now) if one.id == step.id]
    assert found.not_before_s == 600


def test_a_rollout_that_is_forecast_over_months_of_short_windows_ends_some_day() -> None:
    short = Windows(
        zone="UTC", windows=(Window(days=(Day.SUN,), opens="22:00", closes="22:01"),)
    )  # one wave a week at most
    many = fleet(
        [host(f"h{n:02}", gib=16) for n in range(24)],
        [guest(f"g{n}", f"h{n % 24:02}", gib=2) for n in range(24)],
        gates="every",
        wave_hosts=1,
        max_hosts_away=1,
        canary_hosts=1,
    )
    sim = Sim(many, gates=GatePolicy(windows=short))
    weeks = said(sim)[0] / (7 * DAY_S)
    assert 22 < weeks < 24
