"""A guest that stands still in its move: seen, said when it lasts too long, never ended by us."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
import redis

from agents.wire import Kind
from scheduler.limits import Limits
from scheduler.move_limits import suspended_limit_s
from scheduler.notify.event import Severity, severity_of
from scheduler.progress import progress
from scheduler.rollout import RolloutState, Step, StepState
from scheduler.service.access import Role
from scheduler.show_screen import held_lines
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, served, small_fleet
from tests.sim import Sim
from tests.sim_endings import RUNS, SUSPENDED


def flying(**more: object) -> tuple[Sim, Step]:
    """A rollout whose first move is under way: g0 leaves h0. It takes minutes."""
    hosts = [host(f"h{n}", gib=256, reboot=n == 0) for n in range(2)]
    sim = Sim(fleet(hosts, [guest("g0", "h0", gib=64)]), **more)  # type: ignore[arg-type]
    sim.round()
    rounds(sim, 2)
    (step,) = (s for s in sim.book.running() if s.kind is Kind.MOVE)
    assert step.state is StepState.RUNNING
    return sim, step


def rounds(sim: Sim, number: int) -> None:
    for _ in range(number):
        sim.now += timedelta(seconds=1)
        sim.round()


def put(sim: Sim, where: str, state: str, name: str = "g0") -> None:
    """Its copy there shows these letters from now on, under this name."""
    made = sim.hosts[where].domains.get(name) or sim.hosts[where].domains["g0"]
    sim.hosts[where].domains[name] = made.model_copy(update={"state": state, "name": name})
    sim.hosts[where].report = None


def now(sim: Sim) -> Step:
    return next(s for s in sim.book.steps.values() if s.kind is Kind.MOVE)


def said(sim: Sim, kind: str) -> list[str]:
    return [one.text for one in sim.happenings if one.kind == kind]


def test_a_guest_that_is_suspended_for_a_moment_is_shown_and_raises_no_alarm() -> None:
    sim, _ = flying()
    put(sim, "h0", SUSPENDED)
    rounds(sim, 5)
    (view,) = progress(sim.book, sim.now).in_flight
    assert view.suspended is not None and not view.suspended.overdue
    assert (
        "g0 is suspended on h0, on its way to h1, since"
        in held_lines(progress(sim.book, sim.now))[0]
    )
    put(sim, "h0", RUNS)
    rounds(sim, 1)
    assert progress(sim.book, sim.now).in_flight[0].suspended is None
    assert said(sim, "suspended") == said(sim, "awake") == []


@pytest.mark.parametrize("restart_from_records", [False, True], ids=["", "controller-restarts"])
def test_one_that_stays_suspended_raises_an_alarm_once_and_it_lasts_as_long_as_that(
    restart_from_records: bool,
) -> None:
    sim, step = flying(restart_from_records=restart_from_records)
    put(sim, "h0", SUSPENDED)
    limit_s = suspended_limit_s(step, sim.book, sim.limits)
    rounds(sim, int(limit_s) + 5)
    assert len(said(sim, "suspended")) == 1
    assert said(sim, "suspended")[0].startswith("g0 is suspended on h0 for more than")
    (view,) = progress(sim.book, sim.now).in_flight
    assert view.suspended is not None and view.suspended.overdue
    assert view.suspended.for_s > limit_s
    assert held_lines(progress(sim.book, sim.now))[0].startswith("ALARM: g0 is suspended on h0")
    assert sim.book.rollout.state is RolloutState.RUNNING, "it is said, and nothing else is done"
    sim.run()
    assert now(sim).outcome == "moved" and now(sim).suspended_since is None
    assert len(said(sim, "suspended")) == len(said(sim, "awake")) == 1
    assert severity_of("suspended") is Severity.CRITICAL


def test_a_guest_that_runs_at_its_destination_does_not_stand_still() -> None:
    sim, _ = flying()
    put(sim, "h0", SUSPENDED, "g0--migratedaway")
    sim.hosts["h0"].domains.pop("g0", None)
    sim._boot_guest(sim.guests["g0"], "h1")
    rounds(sim, 60)
    assert said(sim, "suspended") == [] and now(sim).suspended_since is None


def test_what_is_only_paused_there_does_not_run() -> None:
    sim, step = flying()
    put(sim, "h0", SUSPENDED)
    sim._boot_guest(sim.guests["g0"], "h1")
    put(sim, "h1", "--p---")
    rounds(sim, int(suspended_limit_s(step, sim.book, sim.limits)) + 5)
    assert len(said(sim, "suspended")) == 1


def test_while_the_source_is_silent_an_alarm_stays_as_it_was() -> None:
    sim, step = flying()
    put(sim, "h0", SUSPENDED)
    rounds(sim, int(suspended_limit_s(step, sim.book, sim.limits)) + 5)
    sim.mute.add("h0")
    put(sim, "h0", RUNS)
    rounds(sim, 5)
    (view,) = progress(sim.book, sim.now).in_flight
    assert view.suspended is not None and view.suspended.overdue
    assert said(sim, "awake") == []


def test_a_destination_that_cannot_be_seen_runs_nobody() -> None:
    sim, step = flying()
    sim.mute.add("h1")
    put(sim, "h0", SUSPENDED)
    rounds(sim, int(suspended_limit_s(step, sim.book, sim.limits)) + 5)
    assert len(said(sim, "suspended")) == 1


def test_the_limit_grows_with_the_memory_and_with_how_slow_moves_were_measured() -> None:
    sim, step = flying()
    limits = Limits()
    planned_s = step.planned_end_s - step.planned_start_s
    assert suspended_limit_s(step, sim.book, limits) == pytest.approx(30 + planned_s / 10)
    sim.book.rates_mib_s = [10.0, 10.0, 10.0]
    assert suspended_limit_s(step, sim.book, limits) == pytest.approx(30 + 64 * 1024 / 10 / 10)
    small = step.model_copy(update={"room_mib": 1000})
    assert suspended_limit_s(small, sim.book, limits) == pytest.approx(30 + 10)


def test_a_stranded_guest_is_an_alarm_until_it_was_woken() -> None:
    fault = "xl killed while suspended"
    hosts = [host(f"h{n}", gib=256, xen="4.20", reboot=n == 0) for n in range(2)]
    sim = Sim(
        fleet(hosts, [guest("g0", "h0", gib=1)], xen_after="4.20"),
        faults={"g0": [fault]},
        limits=Limits(suspended_alarm_s=0.001),
    )
    sim.run()
    kinds = [one.kind for one in sim.happenings if one.kind in ("suspended", "awake", "mending")]
    assert kinds[-1] == "awake" and kinds.count("suspended") == 1
    assert now(sim).outcome == "moved", "after it was resumed, it was moved again"


def test_the_service_counts_it_without_its_name_and_shows_it(redis_client: redis.Redis) -> None:
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    with served(redis_client, played) as made:
        controller = played.controller(Limits(suspended_alarm_s=0.001))
        for _ in range(3):
            played.round(controller, 2.0)
        step = next(s for s in controller.books["xsa-1"].running() if s.kind is Kind.MOVE)
        put(played.sim, step.host, SUSPENDED, step.guest or "")
        step_s = (step.planned_end_s - step.planned_start_s) / 4
        played.publish()
        for _ in range(2):
            controller.tick()
            played.clock.time += timedelta(seconds=step_s)  # the moves themselves stand still
            played.publish()
        headers = {"Authorization": f"Bearer {made.tokens[Role.VIEWER]}"}
        answer = httpx.get(f"{made.url}/metrics", headers=headers, timeout=60)
        lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
        assert float(lines['xenroll_migration_suspended_seconds_max{rollout="xsa-1"}']) > 0
        assert f'"{step.guest}"' not in answer.text
        found = httpx.get(
            f"{made.url}/api/v1/rollouts/xsa-1/steps/{step.id}", headers=headers, timeout=60
        ).json()
        assert found["suspended_since"] is not None
