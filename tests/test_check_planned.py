"""What the planner makes of random fleets is valid by every rule of the checker."""

from __future__ import annotations

from hypothesis import given, settings

from planner.check import problems
from planner.evacuate import PlanOptions, plan_rollout
from planner.fleet import Evacuation, Fleet
from planner.plan import Plan, load_plan, plan_json
from tests.fleets import large_fleet, small_fleets
from tests.make import fleet_json, sha256


def planned(seen: Fleet) -> tuple[Plan, list[str]]:
    digest = sha256(fleet_json(seen))
    plan = plan_rollout(seen, digest, PlanOptions())
    return plan, [str(problem) for problem in problems(seen, plan, digest)]


@settings(max_examples=200, deadline=None)
@given(small_fleets())
def test_the_plan_of_a_random_fleet_has_no_problems(seen: Fleet) -> None:
    plan, found = planned(seen)
    assert found == []
    assert load_plan(plan_json(plan)) == plan


@settings(max_examples=50, deadline=None)
@given(small_fleets())
def test_a_fleet_with_nothing_to_reboot_gives_an_empty_plan(seen: Fleet) -> None:
    hosts = tuple(host.model_copy(update={"reboot": False}) for host in seen.hosts)
    plan, found = planned(seen.model_copy(update={"hosts": hosts}))
    assert found == []
    assert (plan.steps, plan.waves, plan.blocked) == ((), (), ())


@settings(max_examples=50, deadline=None)
@given(small_fleets())
def test_a_hold_guest_blocks_its_host_and_is_its_reason(seen: Fleet) -> None:
    plan, _ = planned(seen)
    reasons = {b.host: {why.guest for why in b.reasons} for b in plan.blocked}
    reboot = {host.name for host in seen.hosts if host.reboot}
    for guest in seen.guests:
        if guest.evacuation is Evacuation.HOLD and guest.host in reboot:
            assert guest.name in reasons[guest.host]


def test_the_plan_of_three_hundred_hosts_has_no_problems() -> None:
    plan, found = planned(large_fleet(300, seed=7))
    assert found == []
    assert plan.summary.hosts_rebooted == 300
