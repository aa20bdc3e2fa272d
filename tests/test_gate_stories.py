"""What has to be so before the next wave opens or a host is touched, as stories in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.wire import Kind, Wanted
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
from scheduler.rollout import HostState, RolloutState
from scheduler.waves import WaveState
from scheduler.windows import Window, Windows
from tests.make import fleet, guest, host
from tests.sim import NEW, START, Sim

TRUE = Hook(argv=("true",))
PAGER = Alerts(alertmanager=(AlertmanagerFilter(name="pager", url="http://alerts.example"),))
NIGHT = Windows(
    zone="Europe/Paris", windows=(Window(opens="23:30", closes="00:15"),)
)  # START is 23:00 in Paris


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


def until_open(sim: Sim, wave: int, limit_s: float = 20_000) -> datetime:
    while sim.book.waves[wave].state is WaveState.WAITING and limit_s > 0:
        sim.run(10)
        limit_s -= 10
    opened_at = sim.book.waves[wave].opened_at
    assert opened_at is not None
    return opened_at


def until_back(sim: Sim, wave: int) -> datetime:
    while sim.book.waves[wave].state is not WaveState.ENDED:
        sim.run(1)
    ended_at = sim.book.waves[wave].ended_at
    assert ended_at is not None
    return ended_at


def reasons(sim: Sim, what: str) -> list[str]:
    return [hold.reason for hold in holds(sim.book) if hold.what == what]


def test_the_next_wave_opens_a_soak_time_after_the_one_before_is_back() -> None:
    sim = play(soak_s=3600)
    back = until_back(sim, 1)
    sim.round()
    (soak,) = sim.book.waves[2].holds
    assert soak.by == "soak time" and soak.reason.startswith("soaks until 2026-11-2")
    assert until_open(sim, 2) - back == timedelta(seconds=3600)
    assert not [o for at, o in sim.ordered if back < at < back + timedelta(hours=1)]
    sim.run()
    assert_all_fixed(sim)


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


def test_no_host_begins_to_be_drained_outside_the_maintenance_window() -> None:
    sim = play(windows=NIGHT)
    sim.run(600)
    assert not sim.ordered
    (reason,) = reasons(sim, "wave 1")
    assert "the next opens Sun 2026-11-22 23:30 Europe/Paris" in reason
    sim.run(90_000, step_s=5)
    assert_all_fixed(sim)
    opens = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
    drained = [h.at for h in sim.happenings if h.kind == "draining"]
    assert drained and all(
        timedelta(0) <= (at - opens) % timedelta(days=1) < timedelta(minutes=45) for at in drained
    )


def test_a_host_that_is_being_drained_when_the_window_closes_is_rebooted_and_comes_back() -> None:
    short = Windows(zone="Europe/Paris", windows=(Window(opens="23:00", closes="23:01"),))
    sim = play(windows=short)
    sim.run(7200)
    states = Counter(h.state for h in sim.book.hosts.values())
    assert states == {HostState.FIXED: 1, HostState.WAITING: 4}
    assert not any(h.closed for h in sim.book.hosts.values())
    assert sim.book.rollout.state is RolloutState.RUNNING


def test_hooks_run_for_every_host_in_the_order_of_its_stages() -> None:
    all_stages = Hooks(preflight=TRUE, before_drain=TRUE, after_drain=TRUE, after_reboot=TRUE)
    sim = play(hooks=all_stages)
    sim.run()
    assert_all_fixed(sim)
    assert len(sim.hooks_run) == len(set(sim.hooks_run)) == 4 * 5
    for name in sim.hosts:
        stages = [line.split()[0] for line in sim.hooks_run if line.endswith(f" {name}")]
        assert stages == ["preflight", "before_drain", "after_drain", "after_reboot"]


def test_a_killed_controller_runs_no_hook_again_that_had_ended() -> None:
    hooks = Hooks(preflight=TRUE, before_drain=TRUE, after_drain=TRUE, after_reboot=TRUE)
    sim = Sim(small_fleet(), gates=GatePolicy(hooks=hooks), restart_from_records=True)
    sim.run()
    assert_all_fixed(sim)
    assert len(sim.hooks_run) == len(set(sim.hooks_run)) == 20


@pytest.mark.parametrize("stage", ["preflight", "before_drain", "after_drain", "after_reboot"])
@pytest.mark.parametrize("code", [1, None])
def test_a_hook_that_fails_stops_its_host_until_a_person_resumes_it(
    stage: str, code: int | None
) -> None:
    sim = play(hooks=Hooks(**{stage: TRUE}))
    sim.hook_codes = {f"{stage} h2": code}
    sim.run(6000, step_s=5)
    assert sim.book.rollout.state is RolloutState.RUNNING
    stopped = sim.book.hosts["h2"].stopped
    assert stopped and stopped.by == f"hook {stage}" and f"{stage} h2 says" in stopped.reason
    assert sim.hosts["h2"].boot == (2 if stage == "after_reboot" else 1)
    sim.hook_codes = {}
    sim.want_part("host:h2", Wanted.RUN)
    sim.run(step_s=5)
    assert_all_fixed(sim)
    assert sim.hooks_run.count(f"{stage} h2") == 2


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


@pytest.mark.parametrize("stage", ["preflight", "before_drain", "after_drain"])
def test_exit_code_70_leaves_the_host_out_and_opens_it(stage: str) -> None:
    sim = play(hooks=Hooks(**{stage: TRUE}))
    sim.hook_codes = {f"{stage} h2": 70}
    sim.run(step_s=5)
    assert sim.book.rollout.state is RolloutState.DONE
    record = sim.book.hosts["h2"]
    assert record.state is HostState.OPENED and not record.closed
    assert record.reason.startswith(f"nothing to do on h2, says hook {stage}")
    assert sim.hosts["h2"].boot == 1
    assert {h.build for h in sim.hosts.values() if h.name != "h2"} == {NEW}
    assert running(sim) == Counter(list(sim.guests))


def test_after_its_reboot_a_host_takes_no_guest_before_its_hook_has_passed() -> None:
    sim = play(hooks=Hooks(after_reboot=TRUE))
    sim.hook_codes = {f"after_reboot h{n}": 1 for n in range(5)}
    sim.run(4000)
    back = [h.name for h in sim.book.hosts.values() if h.state is HostState.FIXED]
    assert len(back) == 1 and sim.book.hosts[back[0]].closed
    assert not [o for _, o in sim.ordered if o.kind is Kind.MOVE and o.destination == back[0]]
    assert sim.book.waves[1].state is WaveState.OPEN, "it is not back"


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
