"""Planning the rest of a rollout again, from whatever state the world is in."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.check import problems
from planner.evacuate import PlanOptions, plan_rollout
from planner.fleet import Fleet, Gates, Policy
from planner.plan import Plan, Step, StepKind
from planner.replan import Flight, Now, replan
from tests.fleets import large_fleet, small_fleets
from tests.halfway import halfway
from tests.make import guest, host
from tests.tiny_fleets import tiny_fleet

SHA = "0" * 64
OPTIONS = PlanOptions()


def some_fleet(hosts: int = 40) -> Fleet:
    return large_fleet(hosts, seed=7)


def places(plan: Plan) -> dict[str | None, str | None]:
    return {step.guest: step.destination for step in plan.steps if step.kind is StepKind.MOVE}


def starting_at_once(plan: Plan, kind: StepKind) -> list[Step]:
    return [s for s in plan.steps if s.kind is kind and not s.needs and s.start_s == 0]


@settings(max_examples=60, deadline=None)
@given(small_fleets(), st.floats(0, 1.1))
def test_the_rest_of_any_rollout_can_be_planned_at_any_moment(fleet: Fleet, part: float) -> None:
    announced = plan_rollout(fleet, SHA, OPTIONS)
    seen, now = halfway(fleet, announced, part * announced.summary.makespan_s)

    plan = replan(seen, SHA, announced, now, OPTIONS)

    assert problems(seen, plan) == []
    assert plan.summary.hosts_blocked <= announced.summary.hosts_blocked


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_when_all_goes_as_announced_every_guest_keeps_its_destination(part: float) -> None:
    fleet = some_fleet()
    announced = plan_rollout(fleet, SHA, OPTIONS)
    at_s = part * announced.summary.makespan_s
    seen, now = halfway(fleet, announced, at_s)

    plan = replan(seen, SHA, announced, now, OPTIONS)

    assert problems(seen, plan) == []
    to_come = {
        (step.guest, step.source, step.destination)
        for step in announced.steps
        if step.kind is StepKind.MOVE and step.end_s > at_s
    }
    planned = {(s.guest, s.source, s.destination) for s in plan.steps if s.kind is StepKind.MOVE}
    assert planned == to_come


def test_hosts_stay_in_their_announced_wave() -> None:
    fleet = some_fleet(120)
    announced = plan_rollout(fleet, SHA, OPTIONS)
    seen, now = halfway(fleet, announced, 0.4 * announced.summary.makespan_s)
    left = {host.name for host in seen.hosts if host.reboot}

    plan = replan(seen, SHA, announced, now, OPTIONS)

    waves = [{name for name in wave.hosts if name in left} for wave in announced.waves]
    assert [set(wave.hosts) for wave in plan.waves] == [wave for wave in waves if wave]


def test_moves_under_way_and_hosts_away_are_steps_that_start_at_once() -> None:
    fleet = some_fleet()
    announced = plan_rollout(fleet, SHA, OPTIONS)
    seen, now = halfway(fleet, announced, 0.5 * announced.summary.makespan_s)
    assert now.flights and now.away

    plan = replan(seen, SHA, announced, now, OPTIONS)

    flying = {(s.guest, s.destination) for s in starting_at_once(plan, StepKind.MOVE)}
    assert {(flight.guest, flight.destination) for flight in now.flights} <= flying
    first = {s.host for s in starting_at_once(plan, StepKind.REBOOT)} | {
        s.host for s in starting_at_once(plan, StepKind.STOP)
    }
    assert set(now.away) <= first


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_nothing_moves_to_or_from_a_lost_host_however_full_the_others_are(first: int) -> None:
    for seed in range(first, first + 30):
        fleet = tiny_fleet(Random(seed), most_hosts=5, most_guests=9)
        announced = plan_rollout(fleet, SHA, OPTIONS)
        lost = Random(seed).choice([each.name for each in fleet.hosts])
        plan = replan(fleet, SHA, announced, Now(lost=[lost]), OPTIONS)
        assert all(lost not in (s.source, s.destination) for s in plan.steps), f"seed {seed}"
        in_waves = [name for wave in plan.waves for name in wave.hosts]
        assert len(in_waves) == len(set(in_waves)), f"seed {seed}"


def test_a_lost_host_is_left_alone_and_only_its_guests_to_be_go_elsewhere() -> None:
    fleet = some_fleet()
    announced = plan_rollout(fleet, SHA, OPTIONS)
    seen, now = halfway(fleet, announced, 0.3 * announced.summary.makespan_s)
    busy = set(now.away) | {flight.destination for flight in now.flights}
    busy |= {g.host for g in seen.guests for f in now.flights if f.guest == g.name}
    lost = next(h.name for h in reversed(seen.hosts) if h.reboot and h.name not in busy)

    plan = replan(seen, SHA, announced, Now(now.flights, now.away, [lost]), OPTIONS)

    assert problems(seen, plan) == []
    assert [blocked.host for blocked in plan.blocked] == [lost]
    assert all(lost not in (step.source, step.destination) for step in plan.steps)
    before, after = places(announced), places(plan)
    same = [name for name, place in after.items() if before.get(name) == place]
    assert len(same) > 0.8 * len(after)


def test_a_guest_that_grew_gets_another_destination_and_the_rest_stays() -> None:
    policy = Policy(canary_hosts=0, gates=Gates.NONE)
    hosts = (host("old"), host("new1", reboot=False), host("new2", reboot=False, gib=128))
    guests = (guest("a", "old", gib=60), guest("b", "old", gib=1))
    fleet = Fleet(taken_at="2026-11-22T00:00:00Z", policy=policy, hosts=hosts, guests=guests)
    announced = plan_rollout(fleet, SHA, OPTIONS)
    assert places(announced) == {"a": "new1", "b": "new1"}
    grown = fleet.model_copy(
        update={"guests": (guest("a", "old", gib=62, overhead_mib=40_000), guests[1])}
    )

    plan = replan(grown, SHA, announced, Now(), OPTIONS)

    assert places(plan) == {"a": "new2", "b": "new1"}


def test_a_new_guest_and_a_new_host_are_planned_after_what_was_announced() -> None:
    fleet = some_fleet(20)
    announced = plan_rollout(fleet, SHA, OPTIONS)
    likeness = fleet.hosts[0]
    more = fleet.model_copy(
        update={
            "hosts": (*fleet.hosts, likeness.model_copy(update={"name": "newcomer"})),
            "guests": (*fleet.guests, guest("new", "newcomer", gib=2)),
        }
    )

    plan = replan(more, SHA, announced, Now(), OPTIONS)

    assert problems(more, plan) == []
    assert plan.waves[-1].hosts[-1] == "newcomer"


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (Now(flights=[Flight("nobody", "host00001")]), 'no guest "nobody"'),
        (Now(flights=[Flight("guest000000", "nowhere")]), 'no host "nowhere"'),
        (Now(away=["nowhere"]), 'no host "nowhere"'),
        (Now(away=["host00000"]), 'host "host00000" is away, and holds guests'),
    ],
)
def test_what_does_not_exist_or_contradicts_itself_is_refused_by_name(
    now: Now, message: str
) -> None:
    fleet = some_fleet(4)
    announced = plan_rollout(fleet, SHA, OPTIONS)

    with pytest.raises(ValueError, match=message):
        replan(fleet, SHA, announced, now, OPTIONS)


@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_guest_between_a_lost_host_and_another_keeps_its_step_and_nothing_joins_it(
    end: str,
) -> None:
    policy = Policy(canary_hosts=0, gates=Gates.NONE)
    hosts = [host(name, gib=64) for name in ("a", "b", "c", "d")]
    guests = [guest("g", "a", gib=8), *(guest(f"o{n}", name) for n, name in enumerate("abcd"))]
    fleet = Fleet(
        taken_at="2026-11-22T00:00:00Z", policy=policy, hosts=tuple(hosts), guests=tuple(guests)
    )
    announced = plan_rollout(fleet, SHA, OPTIONS)
    lost = "a" if end == "source" else "b"
    now = Now(flights=[Flight("g", "b")], lost=[lost])

    plan = replan(fleet, SHA, announced, now, OPTIONS)

    assert problems(fleet, plan) == []
    touched = [s for s in plan.steps if lost in (s.source, s.destination, s.host)]
    assert [(s.guest, s.source, s.destination) for s in touched] == [("g", "a", "b")]
    assert [blocked.host for blocked in plan.blocked] == [lost]


def test_guests_on_their_way_with_nothing_left_to_reboot_make_no_plan() -> None:
    policy = Policy(canary_hosts=0, gates=Gates.NONE)
    hosts = (host("a"), host("b", reboot=False))
    guests = (guest("g", "a"), guest("stays", "a", evacuation="hold"))
    fleet = Fleet(taken_at="2026-11-22T00:00:00Z", policy=policy, hosts=hosts, guests=guests)
    announced = plan_rollout(fleet, SHA, OPTIONS)

    with pytest.raises(ValueError, match="no host is left that can be rebooted"):
        replan(fleet, SHA, announced, Now(flights=[Flight("g", "b")]), OPTIONS)


@pytest.mark.parametrize(("seed", "part"), [(476, 0.0), (476, 0.4), (476, 0.8)])
def test_a_dead_end_that_the_first_plan_avoided_is_avoided_again(seed: int, part: float) -> None:
    fleet = tiny_fleet(Random(seed))
    announced = plan_rollout(fleet, SHA, OPTIONS)
    seen, now = halfway(fleet, announced, part * announced.summary.makespan_s)

    plan = replan(seen, SHA, announced, now, OPTIONS)

    assert problems(seen, plan) == []
    assert plan.summary.hosts_blocked <= announced.summary.hosts_blocked
