"""What has to be so before the next wave opens or a host is touched, as stories in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from agents.wire import Wanted
from planner.fleet import Fleet
from scheduler.gates import (
    AlertmanagerFilter,
    Alerts,
    Answer,
    GatePolicy,
    Hook,
    Hooks,
)
from scheduler.holds import holds
from scheduler.rollout import RolloutState
from scheduler.waves import WaveState
from tests.make import fleet, guest, host
from tests.sim import NEW, START, Sim

TRUE = Hook(argv=("true",))
PAGER = Alerts(alertmanager=(AlertmanagerFilter(name="pager", url="http://alerts.example"),))


def small_fleet(**policy: object) -> Fleet:
    hosts = [host(f"h{n}", gib=16) for n in range(5)]
    guests = [guest(f"g{n}", f"h{n % 5}", gib=2) for n in range(10)]
    chosen = {"canary_hosts": 1, "gates": "every", "wave_hosts": 2, "max_hosts_away": 2}
    return fleet(hosts, guests, **chosen | policy)


def play(**gates: Any) -> Sim:
    return Sim(small_fleet(), gates=GatePolicy(**gates))


def running(sim: Sim) -> Counter[str]:
    return Counter(name for h in sim.hosts.values() for name in h.domains)


def assert_all_fixed(sim: Sim) -> None:
    assert sim.book.rollout.state is RolloutState.DONE
    assert {h.build for h in sim.hosts.values()} == {NEW}
    assert running(sim) == Counter(list(sim.guests))
    assert not any(h.closed for h in sim.book.hosts.values())


def until_back(sim: Sim, wave: int) -> datetime:
    while sim.book.waves[wave].state is not WaveState.ENDED:
        sim.run(1)
    ended_at = sim.book.waves[wave].ended_at
    assert ended_at is not None
    return ended_at


def reasons(sim: Sim, what: str) -> list[str]:
    return [hold.reason for hold in holds(sim.book) if hold.what == what]


def test_a_wave_waits_for_a_persons_word_and_says_how_it_is_given() -> None:
    sim = play(approval=True)
    until_back(sim, 1)
    at = sim.now
    sim.run(30_000, step_s=10)
    assert sim.book.waves[2].state is WaveState.WAITING
    (held,) = sim.book.waves[2].holds
    assert held.reason == "waits for a person's word: xenroll rollout approve xsa-1 --wave 2"
    assert held.since <= at, "since when it has waited, not since when it was looked at"
    sim.approve(2)
    sim.approve(3, "before bed")
    sim.run()
    assert_all_fixed(sim)
    approval = sim.book.waves[3].approval
    assert approval and (approval.by, approval.reason) == ("on-call", "before bed")


def test_all_that_holds_a_wave_is_shown_together() -> None:
    sim = play(soak_s=600, approval=True, alerts=PAGER)
    sim.answers = {"pager": Answer(at=sim.now, firing=("HostDown on h3",))}
    sim.round()
    shown = reasons(sim, "wave 2")
    for word in ("waits for wave 1", "a person's word", "pager: HostDown on h3"):
        assert any(word in reason for reason in shown)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "pager: it was not asked yet"),
        (Answer(at=START, firing=("A on h1", "B")), "pager: A on h1; B"),
        (Answer(at=START, trouble="http://a cannot be asked: refused"), "cannot be asked"),
        (Answer(at=START - timedelta(seconds=200)), "has not answered since 21:56:40 UTC"),
    ],
)
def test_a_wave_stays_closed_while_alerts_fire_or_cannot_be_asked(
    answer: Answer | None, words: str
) -> None:
    sim = play(alerts=PAGER)
    sim.answers = {"pager": answer} if answer else {}
    sim.round()
    assert sim.book.waves[1].state is WaveState.WAITING
    assert any(words in reason for reason in reasons(sim, "wave 1"))
    assert not sim.ordered
    sim.answers = {"pager": Answer(at=sim.now)}
    sim.round()
    assert sim.book.waves[1].opened_at == sim.now


def quiet(sim: Sim) -> None:
    sim.answers = {"pager": Answer(at=sim.now + timedelta(days=1))}


def test_alerts_hold_further_hosts_of_an_open_wave_only_where_that_was_asked_for() -> None:
    begun = {}
    for chosen in ("waves", "drains"):
        alerts = PAGER.model_copy(update={"holds": chosen})
        many = small_fleet(gates="none", canary_hosts=0, wave_hosts=5, max_hosts_away=1)
        sim = Sim(many, gates=GatePolicy(alerts=alerts))
        quiet(sim)
        sim.run(30)
        sim.answers = {"pager": Answer(at=sim.now + timedelta(days=1), firing=("Smoke",))}
        before = {h.name for h in sim.book.hosts.values() if h.closed or h.reboots}
        sim.run(6000)
        begun[chosen] = {h.name for h in sim.book.hosts.values() if h.reboots} - before
        assert all(sim.book.hosts[name].reboots for name in before), "what was begun ends"
        quiet(sim)
        sim.run()
        assert_all_fixed(sim)
    assert begun["waves"] and not begun["drains"]


@pytest.mark.parametrize("stage", ["preflight", "before_drain", "after_drain", "after_reboot"])
def test_a_host_stopped_by_a_hook_can_be_aborted_and_is_open_afterwards(stage: str) -> None:
    sim = play(hooks=Hooks(**{stage: TRUE}))
    sim.hook_codes = {f"{stage} h2": 1}
    sim.run(6000, step_s=5)
    sim.want_part("host:h2", Wanted.ABORT)
    sim.run(step_s=5)
    assert sim.book.rollout.state is RolloutState.DONE
    assert not any(h.closed for h in sim.book.hosts.values())
    assert running(sim) == Counter(list(sim.guests))
    others = {h.build for h in sim.hosts.values() if h.name != "h2"}
    assert others == {NEW}


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "ended with 3"), (-9, "was killed by signal 9"), (None, "failed")],
)
def test_a_hook_that_failed_says_in_which_way(code: int | None, words: str) -> None:
    sim = play(hooks=Hooks(before_drain=TRUE))
    sim.hook_codes = {"before_drain h2": code}
    sim.run(6000, step_s=5)
    held = sim.book.hosts["h2"].stopped
    assert held is not None and held.reason.startswith(f"hook before_drain {words}")


def test_a_soak_is_not_cut_short_by_a_new_plan() -> None:
    sim = Sim(
        small_fleet(gates="canary", max_hosts_away=1), gates=GatePolicy(soak_s=7200, approval=True)
    )
    back = until_back(sim, 1)
    steps = sim.book.steps
    needed = {need for step in steps.values() if step.wave > 2 for need in step.needs}
    hangs = {steps[name].host for name in needed if steps[name].wave == 2}
    sim.want_part(f"host:{min(hangs)}", Wanted.ABORT)
    sim.run(7000, step_s=5)
    assert sim.book.rollout.generation == 2
    live = [w for w in sim.book.waves.values() if w.state is WaveState.WAITING]
    assert live and not [o for at, o in sim.ordered if at > back]
    assert all(w.behind == 1 for w in live)
    for wave in live:
        sim.approve(wave.number)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert min(at for at, _ in sim.ordered if at > back) >= back + timedelta(seconds=7200)
