"""The one door of the planner: a fleet in, a plan out."""

from __future__ import annotations

from planner.arrays import arrays_of
from planner.assemble import steps_of, waves_of
from planner.blocked import blocked_of
from planner.bounds import Bounds, bounds_of
from planner.fleet import Fleet
from planner.grow import Grower, Recipe
from planner.needs import Drafting
from planner.options import PlanOptions
from planner.plan import Plan, Step, StepKind, Summary
from planner.schedule import schedule

__all__ = ["PlanOptions", "plan_rollout"]


def plan_rollout(fleet: Fleet, fleet_sha256: str, options: PlanOptions) -> Plan:
    """A plan that reboots every host that can be emptied; the rest is blocked, with reasons.

    The plan keeps every rule of the plan format (`planner.check` looks at all of them). Nothing is
    raised for a fleet that cannot be planned: its hosts are all blocked.
    """
    began_s = options.clock()
    arrays = arrays_of(fleet)
    bounds = bounds_of(arrays)
    extra = bounds.moves_allowed - bounds.evacuated
    grower = Grower(arrays, Recipe(extra, options.seed_hosts))
    state = grower.run()
    waves = grower.waves()
    drafts = Drafting(arrays, waves).run(state.sequence)
    starts_s, ends_s = schedule(arrays, drafts)
    steps = steps_of(arrays, drafts, starts_s, ends_s)
    blocked = blocked_of(state)
    unmoved = [host for host in range(len(arrays.hosts)) if arrays.reboot[host] and not state.is_open[host]]
    bounds = bounds_of(arrays, unmoved) if unmoved else bounds
    summary = _summary(steps, len(blocked), bounds, options.clock() - began_s)
    return Plan(fleet_sha256, waves_of(arrays, waves), steps, blocked, summary)


def _summary(
    steps: tuple[Step, ...], blocked: int, bounds: Bounds, planning_s: float
) -> Summary:
    moved = [step.guest for step in steps if step.kind is StepKind.MOVE]
    return Summary(
        moves=len(moved),
        moves_lower_bound=bounds.moves,
        makespan_s=max((step.end_s for step in steps), default=0.0),
        makespan_lower_bound_s=bounds.makespan_s(len(moved)),
        hosts_rebooted=sum(step.kind is StepKind.REBOOT for step in steps),
        hosts_blocked=blocked,
        guests_moved=len(set(moved)),
        guests_restarted=sum(step.kind is StepKind.START for step in steps),
        planning_s=planning_s,
    )
