"""What a forecast takes for granted is said: what waits for somebody, and a deadline in danger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.wire import Wanted
from scheduler.advance import Foreseen
from scheduler.advisory import Advisory
from scheduler.forecast import Asked, forecast, outlook
from scheduler.forecast_assumed import assumed, in_short
from scheduler.gates import AlertmanagerFilter, Alerts, Answer, Hook, Hooks
from scheduler.progress import progress
from scheduler.rollout import RolloutState
from tests.forecast_gated import HOURLY, play_on, said, state
from tests.sim import Sim
from tests.test_gate_stories import play


def due(sim: Sim, after_s: float) -> None:
    deadline = sim.now + timedelta(seconds=after_s)
    advisory = Advisory(id="XSA-1", fixed_builds=("f" * 40,), deadline=deadline)
    sim.book.rollout = sim.book.rollout.model_copy(update={"advisories": (advisory,)})


def late_texts(sim: Sim) -> list[str]:
    sim.feed(Foreseen(sim.now, outlook(sim.book, sim.now, Asked(runs=50))))
    return [one.text for one in sim.happenings if one.kind == "late"]


def test_a_soak_time_that_makes_the_deadline_impossible_raises_the_alarm() -> None:
    for soak_s, alarms in ((0, 0), (7200, 1)):
        sim = play(soak_s=soak_s)
        due(sim, 7200)
        assert len(late_texts(sim)) == alarms


def test_the_alarm_says_what_the_forecast_takes_for_granted() -> None:
    sim = play(approval=True, soak_s=7200)
    due(sim, 7200)
    (text,) = late_texts(sim)
    assert text.endswith("; waves 2, 3 need approval; assuming approval now")


def waits_for(sim: Sim) -> dict[str, str]:
    return {one.what: one.waits_for for one in assumed(sim.book)}


def text_of(sim: Sim, what: str) -> str:
    return next(one.text for one in assumed(sim.book) if one.what == what)


def test_nothing_is_assumed_where_nothing_waits_for_anybody() -> None:
    sim = play(soak_s=60, windows=HOURLY)
    sim.run(10)
    assert assumed(sim.book) == ()
    play_on(sim)
    assert state(sim) is RolloutState.DONE and assumed(sim.book) == ()


def test_a_wave_that_needs_a_persons_word_is_told_as_if_it_were_given_now() -> None:
    sim = play(approval=True)
    assert text_of(sim, "waves 2, 3") == "waves 2, 3 need approval; assuming approval now"
    assert said(sim) == said(play())
    sim.approve(2)
    sim.run(5)
    assert text_of(sim, "wave 3") == "wave 3 needs approval; assuming approval now"


def test_what_is_paused_is_told_as_if_it_were_resumed_now() -> None:
    sim = play()
    sim.run(5)
    sim.want(Wanted.PAUSE)
    sim.round()
    assert text_of(sim, "rollout") == (
        "the rollout is paused by on-call, 2026-11-22 22:00 UTC; its end cannot be told while "
        "paused; assuming that it is resumed now"
    )
    found = forecast(sim.book, sim.now, Asked())
    assert found.held and found.assuming == assumed(sim.book)
    sim.want(Wanted.RUN)
    sim.want_part("wave:2", Wanted.PAUSE)
    sim.want_part("host:h1", Wanted.PAUSE)
    sim.round()
    assert waits_for(sim) == {"wave 2": "resume", "host h1": "resume"}
    assert in_short(assumed(sim.book)) == "if resumed now"


def test_alerts_silent_hosts_and_hooks_are_told_too() -> None:
    pager = Alerts(alertmanager=(AlertmanagerFilter(name="pager", url="http://alerts.example"),))
    sim = play(alerts=pager, hooks=Hooks(before_drain=Hook(argv=("true",))))
    sim.answers = {"pager": Answer(at=sim.now, firing=("HostDown",))}
    sim.mute = {"h4"}
    sim.round()
    texts = [one.text for one in assumed(sim.book)]
    assert "alerts pager holds waves 1, 2, 3; assuming clear from now on" in texts
    assert "host h4 is silent; assuming a report now" in texts
    assert waits_for(sim)["rollout"] == "hooks"


def test_a_late_wave_is_not_in_the_times_and_that_is_said() -> None:
    sim = play(approval=True)
    sim.book.waves[3] = sim.book.waves[3].model_copy(update={"late": True})
    assert waits_for(sim) == {"wave 2": "approval", "wave 3": "release"}
    assert "not in these times" in text_of(sim, "wave 3")
    assert in_short(assumed(sim.book)) == "if approved now"


def test_many_held_hosts_are_counted_instead_of_named() -> None:
    sim = play()
    for number in range(5):
        sim.want_part(f"host:h{number}", Wanted.PAUSE)
    sim.round()
    assert list(waits_for(sim)) == ["host h0", "host h1", "host h2", "2 more hosts"]


def test_the_view_tells_what_holds_now_not_when_the_forecast_was_made() -> None:
    sim = play()
    sim.feed(Foreseen(sim.now, outlook(sim.book, sim.now, Asked(runs=50))))
    before = progress(sim.book, sim.now).outlook
    assert before and before.assuming == ()
    sim.want(Wanted.PAUSE)
    sim.round()
    after = progress(sim.book, sim.now).outlook
    assert after and after.made_at == before.made_at
    assert in_short(after.assuming) == "if resumed now"
    left_s = progress(sim.book, sim.now).left_s
    assert left_s == pytest.approx((after.p50_at - sim.now).total_seconds())
