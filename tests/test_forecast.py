"""When a rollout will end, who will be late, what a pause costs: rollouts in virtual time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.advance import Foreseen
from scheduler.advisory import Advisory
from scheduler.forecast import Asked, forecast, outlook
from scheduler.forecast_pause import pause_cost
from scheduler.rollout import RolloutState
from tests.forecast_kit import forecast_sim
from tests.make import fleet, guest, host
from tests.sim import Sim


def test_the_same_records_give_the_same_forecast() -> None:
    played = forecast_sim()
    played.run(600)
    asked = Asked(at_start=at_start(played), remedies=True)
    assert forecast(played.book, played.now, asked) == forecast(played.book, played.now, asked)


def at_start(played: Sim) -> dict[str, str]:
    return {one.name: one.host for one in played.fleet.guests}


def due(played: Sim, after_s: float) -> None:
    """Give the rollout's advisory a deadline."""
    advisory = Advisory(
        id="XSA-1", fixed_builds=("f" * 40,), deadline=played.now + timedelta(seconds=after_s)
    )
    played.book.rollout = played.book.rollout.model_copy(update={"advisories": (advisory,)})


@pytest.mark.parametrize("after_s", [0, 600, 1200, 1800])
def test_the_forecast_comes_true(after_s: float) -> None:
    played = forecast_sim()
    played.run(after_s)
    said = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    asked_at = played.now
    played.run()
    assert played.book.rollout.state is RolloutState.DONE
    took_s = (played.book.rollout.ended_at or asked_at) - asked_at
    assert 0.8 * took_s.total_seconds() < said.p50_s < 1.2 * took_s.total_seconds()
    assert said.p50_s <= said.p90_s


def test_guest_hours_so_far_and_to_come_add_up_to_what_they_were_in_the_end() -> None:
    played = forecast_sim()
    played.run(1500)
    middle = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    played.run()
    end = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    assert middle.guest_hours_so_far is not None and middle.guest_hours_to_come is not None
    assert end.guest_hours_so_far is not None and end.guest_hours_to_come == 0
    assert middle.guest_hours_so_far + middle.guest_hours_to_come == pytest.approx(
        end.guest_hours_so_far, rel=0.05
    )


def test_the_first_curve_counts_every_guest_until_it_is_on_a_fixed_host() -> None:
    # One guest of 4 GiB on one of two hosts: exposed until it has moved to the rebooted other.
    seen = fleet([host("a"), host("b")], [guest("g", "a")], reboot_s=3600.0)
    played = Sim(seen)
    exact = forecast(played.book, played.now, Asked(at_start={"g": "a"}))
    assert exact.guest_hours_to_come == pytest.approx(1.0, rel=0.15)


def test_the_cone_falls_from_all_exposed_hosts_to_none() -> None:
    played = forecast_sim()
    said = forecast(played.book, played.now, Asked())
    first, last = said.cone[0], said.cone[-1]
    assert (first.hosts_p10, first.hosts_p90) == (12, 12)
    assert last.hosts_p50 == 0
    for point in said.cone:
        assert point.hosts_p10 <= point.hosts_p50 <= point.hosts_p90


def test_hosts_that_miss_the_deadline_are_named_and_more_hosts_away_help() -> None:
    played = forecast_sim()
    due(played, 2700)
    said = forecast(played.book, played.now, Asked(remedies=True))
    assert said.chance_in_time is not None and 0.5 < said.chance_in_time < 0.9
    assert 0 < len(said.late_hosts) < 12
    assert said.deadline and all(one.p90_at > said.deadline for one in said.late_hosts)
    more = said.remedies[1]
    assert "max_hosts_away 3 -> 6" in more.change
    assert more.gain_p90_s > 0 and more.late_hosts < len(said.late_hosts)
    assert more.in_time and not said.remedies[2].in_time, "more moves at once are no help here"


def test_a_deadline_far_away_is_no_worry() -> None:
    played = forecast_sim()
    due(played, 86_400)
    said = forecast(played.book, played.now, Asked())
    assert said.chance_in_time == 1.0 and said.late_hosts == ()
    assert not outlook(played.book, played.now, Asked()).late_hosts


def test_a_pause_costs_about_its_own_length_and_names_who_is_half_emptied() -> None:
    played = forecast_sim()
    played.run(5)
    cost = pause_cost(played.book, played.now, 3600.0, Asked())
    assert cost.p50_later_s == pytest.approx(3600, rel=0.05)
    assert cost.p90_later_s == pytest.approx(3600, rel=0.05)
    assert cost.half_drained and cost.closed == len(cost.half_drained)
    assert cost.half_drained[0].guests_left > 0


def test_a_pause_that_is_over_before_anything_could_start_costs_nothing() -> None:
    played = Sim(fleet([host("a"), host("b", reboot=False)], [guest("g", "b")]))
    played.run(5)
    assert len(played.book.under_way) == 1, "the reboot of the only host to reboot"
    assert pause_cost(played.book, played.now, 60.0, Asked()).p50_later_s == 0


def test_a_pause_can_be_what_makes_the_rollout_late() -> None:
    played = forecast_sim()
    said = forecast(played.book, played.now, Asked())
    due(played, said.p90_s + 600)
    assert not pause_cost(played.book, played.now, 60.0, Asked()).makes_late
    assert pause_cost(played.book, played.now, 3600.0, Asked()).makes_late


def told(played: Sim, kind: str) -> list[str]:
    return [one.text for one in played.happenings if one.kind == kind]


def foresee(played: Sim) -> None:
    seen = outlook(played.book, played.now, Asked(runs=50))
    played.feed(Foreseen(played.now, seen))


def test_a_deadline_in_danger_is_told_once_and_once_when_it_is_safe_again() -> None:
    played = forecast_sim()
    due(played, 1000)
    foresee(played)
    foresee(played)
    assert len(told(played, "late")) == 1
    assert "hosts are likely to miss it" in told(played, "late")[0]
    assert played.book.rollout.outlook and played.book.rollout.outlook.late
    due(played, 86_400)
    foresee(played)
    foresee(played)
    assert len(told(played, "in_time")) == 1
    assert not played.book.rollout.outlook.late


def test_a_forecast_that_wavers_around_the_deadline_is_not_told_again_and_again() -> None:
    played = forecast_sim()
    said = outlook(played.book, played.now, Asked(runs=50))
    for minutes in (10, -1, 1, -1, 1, -30, 1):
        deadline = said.p90_at - timedelta(minutes=minutes)
        seen = said.model_copy(update={"deadline": deadline})
        played.feed(Foreseen(played.now, seen))
    assert (len(told(played, "late")), len(told(played, "in_time"))) == (2, 1)


def test_nothing_is_left_of_a_rollout_that_has_ended() -> None:
    played = forecast_sim()
    played.run()
    said = forecast(played.book, played.now, Asked())
    assert (said.p50_s, said.p90_s, said.moves_left, said.cone) == (0, 0, 0, ())


def test_a_thousand_hosts_are_forecast_from_the_first_moment() -> None:
    hosts = [host(f"h{n:03}", gib=64, group=f"r{n % 20}") for n in range(1000)]
    guests = [guest(f"g{n}", f"h{n % 1000:03}", gib=4) for n in range(12000)]
    played = Sim(fleet(hosts, guests, canary_hosts=1, gates="canary"))
    said = forecast(played.book, played.now, Asked(at_start=at_start(played)))
    assert said.moves_left > 12_000 and said.reboots_left == 1000
    planned_s = played.book.rollout.planned_makespan_s
    assert planned_s < said.p50_s < 1.3 * planned_s
