"""What comes through the planner's one door: plans that keep every rule, near the bounds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings

from planner.check import problems
from planner.evacuate import PlanOptions, plan_rollout
from planner.fleet import Fleet, Gates, Guest, Host, Policy
from planner.plan import Plan, StepKind
from tests.exhaustive import fewest_moves
from tests.fleets import large_fleet, small_fleets
from tests.make import TAKEN_AT, guest, host
from tests.tiny_fleets import tiny_fleet

SHA = "0" * 64
FREE = {"canary_hosts": 0, "gates": Gates.NONE}


def fleet_of(hosts: list[Host], guests: list[Guest], **policy: object) -> Fleet:
    given = Policy.model_validate(FREE | policy)
    return Fleet(taken_at=TAKEN_AT, policy=given, hosts=tuple(hosts), guests=tuple(guests))


def planned(fleet: Fleet, seed: int = 0, seed_hosts: int | None = None) -> Plan:
    plan = plan_rollout(fleet, SHA, PlanOptions(seed=seed, seed_hosts=seed_hosts))
    assert problems(fleet, plan) == []
    return plan


def with_policy(fleet: Fleet, **policy: object) -> Fleet:
    return fleet.model_copy(update={"policy": fleet.policy.model_copy(update=policy)})


def moves(plan: Plan) -> list[tuple[str | None, str | None, str | None]]:
    return [(s.guest, s.source, s.destination) for s in plan.steps if s.kind is StepKind.MOVE]


def reasons(plan: Plan, name: str) -> str:
    found = [why for blocked in plan.blocked if blocked.host == name for why in blocked.reasons]
    return "; ".join(f"{why.guest}: {why.reason}" for why in found)


@settings(max_examples=150, deadline=None)
@given(small_fleets())
def test_a_plan_for_any_fleet_keeps_every_rule_and_beats_no_bound(fleet: Fleet) -> None:
    plan = plan_rollout(fleet, SHA, PlanOptions())

    assert problems(fleet, plan) == []
    assert plan.summary.moves >= plan.summary.moves_lower_bound
    assert plan.summary.makespan_s >= plan.summary.makespan_lower_bound_s
    assert plan.summary.hosts_rebooted + plan.summary.hosts_blocked == sum(
        host.reboot for host in fleet.hosts
    )


def test_without_extra_moves_hardly_any_tiny_fleet_takes_more_than_the_fewest_possible() -> None:
    seeds = range(1000, 1060)
    more = []
    for seed in seeds:
        fleet = with_policy(tiny_fleet(Random(seed)), extra_moves=0.0)
        plan = planned(fleet)
        fewest = fewest_moves(fleet, [blocked.host for blocked in plan.blocked])
        assert fewest is not None and plan.summary.moves <= fewest + 1, f"seed {seed}"
        if plan.summary.moves > fewest:
            more.append(seed)
    assert len(more) <= len(seeds) // 20, f"more than the fewest: seeds {more}"


def test_an_empty_fleet_and_one_that_needs_no_reboot_give_an_empty_plan() -> None:
    for fleet in (fleet_of([], []), fleet_of([host("a", reboot=False)], [guest("g", "a")])):
        plan = planned(fleet)
        assert (plan.steps, plan.waves, plan.blocked) == ((), (), ())


def test_an_empty_host_reboots_at_once_and_takes_the_next_ones_guests() -> None:
    plan = planned(fleet_of([host("a"), host("b")], [guest("g1", "a"), guest("g2", "a")]))

    assert [s.host for s in plan.steps if s.kind is StepKind.REBOOT] == ["b", "a"]
    assert sorted(moves(plan)) == [("g1", "a", "b"), ("g2", "a", "b")]


def test_a_single_host_with_a_guest_is_blocked_and_says_why() -> None:
    plan = planned(fleet_of([host("only")], [guest("g", "only")]))

    assert reasons(plan, "only").startswith("g: no plan: no other host")


def test_a_held_guest_blocks_its_host_and_is_named() -> None:
    hosts = [host("a"), host("spare", reboot=False)]
    plan = planned(fleet_of(hosts, [guest("stuck", "a", evacuation="hold"), guest("g", "a")]))

    assert reasons(plan, "a") == "stuck: is to be left alone (evacuation: hold)"
    assert moves(plan) == []


def test_a_guest_that_fits_nowhere_is_told_how_much_is_short_on_the_nearest_host() -> None:
    hosts = [host("big", gib=64), host("small", gib=16), host("tiny", gib=8)]
    plan = planned(fleet_of(hosts, [guest("g", "big", gib=20), guest("x", "tiny", gib=1)]))

    assert "g: no plan: even with nothing else on it, small is 4096 MiB short" in reasons(
        plan, "big"
    )


def test_a_restart_guest_is_stopped_after_the_moves_and_started_after_the_reboot() -> None:
    hosts = [host("a"), host("spare", reboot=False)]
    plan = planned(fleet_of(hosts, [guest("gpu", "a", evacuation="restart"), guest("g", "a")]))

    kinds = [(step.kind, step.guest or step.host) for step in plan.steps]
    assert kinds == [("move", "g"), ("stop", "gpu"), ("reboot", "a"), ("start", "gpu")]


def test_with_a_canary_gate_everything_else_waits_for_the_canary_to_be_back() -> None:
    fleet = large_fleet(30, seed=3)
    plan = planned(fleet)

    first = plan.waves[0]
    back_s = max(s.end_s for s in plan.steps if s.host in first.hosts)
    assert len(first.hosts) == 1 and first.gate
    assert all(step.start_s >= back_s for step in plan.steps if step.wave > 1)


@pytest.mark.parametrize("gates", list(Gates))
@pytest.mark.parametrize("canary_hosts", [0, 1, 3])
def test_every_kind_of_gate_gives_waves_of_the_size_asked_for(
    gates: Gates, canary_hosts: int
) -> None:
    fleet = large_fleet(30, seed=4)
    plan = planned(with_policy(fleet, gates=gates, canary_hosts=canary_hosts, wave_hosts=8))

    sizes = [len(wave.hosts) for wave in plan.waves]
    assert sum(sizes) == 30 and max(sizes) <= 8
    assert canary_hosts == 0 or 1 <= sizes[0] <= canary_hosts


def test_guests_go_up_in_xen_version_and_never_down() -> None:
    hosts = [host("new", xen="4.19", reboot=False), host("a", xen="4.17"), host("b", xen="4.18")]
    guests = [guest("g1", "a"), guest("g2", "b"), guest("g3", "new")]
    plan = planned(fleet_of(hosts, guests, xen_after="4.18"))

    assert {guest: to for guest, _, to in moves(plan)}.keys() == {"g1", "g2"}


def test_a_full_pool_is_unlocked_by_making_guests_trade_places() -> None:
    # No host has a hole for a guest of another, until the small ones are brought together.
    hosts = [host("a", gib=10), host("b", gib=10), host("c", gib=10)]
    guests = [guest("a1", "a", gib=6), guest("b1", "b", gib=5), guest("b2", "b", gib=1)]
    guests += [guest("c1", "c", gib=4), guest("c2", "c", gib=1)]
    plan = planned(fleet_of(hosts, guests))

    assert plan.blocked == ()


def test_a_fleet_of_unequal_hosts_over_90_percent_full_is_rolled_to_the_last_host() -> None:
    random = Random(5)
    hosts = [host(f"h{n}", gib=random.choice([48, 64, 96])) for n in range(24)]
    guests: list[Guest] = []
    for on in hosts:
        left_gib = int(on.memory_mib / 1024 * random.uniform(0.86, 0.94))
        while left_gib > 0:
            gib = min(left_gib, random.choice([2, 3, 5, 8, 13]))
            guests.append(guest(f"g{len(guests)}", on.name, gib=gib))
            left_gib -= gib
    plan = planned(fleet_of(hosts, guests, xen_after="4.18"))

    assert plan.blocked == ()


def test_moves_stay_within_the_budget_and_at_the_bound_without_one() -> None:
    fleet = with_policy(large_fleet(200, seed=1), **FREE)
    spent = planned(fleet).summary
    frugal = planned(with_policy(fleet, extra_moves=0.0)).summary

    assert spent.moves <= 1.02 * spent.moves_lower_bound
    assert frugal.moves == frugal.moves_lower_bound
    assert spent.makespan_s < frugal.makespan_s


def test_more_seed_hosts_cost_more_moves_and_shorten_the_rollout() -> None:
    fleet = with_policy(large_fleet(120, seed=2), **FREE)
    few, many = (planned(fleet, seed_hosts=number).summary for number in (1, 12))

    assert few.moves < many.moves
    assert few.makespan_s > many.makespan_s


def test_the_same_fleet_and_seed_give_the_same_plan() -> None:
    fleet = large_fleet(60, seed=6)

    assert planned(fleet, seed=1) == planned(fleet, seed=1)
