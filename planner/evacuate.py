"""The one door of the planner: a fleet in, a plan out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from planner.arrays import arrays_of
from planner.assemble import steps_of, waves_of
from planner.blocked import blocked_of
from planner.bounds import Bounds, bounds_of
from planner.canary import coverage
from planner.first_wave import canary_of
from planner.fleet import Fleet
from planner.options import PlanOptions
from planner.plan import Plan, StepKind, Summary
from planner.portfolio import Candidate, best_of
from planner.state import State

__all__ = ["PlanOptions", "plan_rollout"]


def plan_rollout(fleet: Fleet, fleet_sha256: str, options: PlanOptions) -> Plan:
    """A plan that reboots every host that can be emptied; the rest is blocked, with reasons.

    The plan keeps every rule of the plan format (`planner.check` looks at all of them). Nothing is
    raised for a fleet that cannot be planned: its hosts are all blocked.
    """
    began_s = options.clock()
    arrays = arrays_of(fleet)
    bounds = bounds_of(arrays)
    canary = canary_of(arrays, bounds.moves_allowed - bounds.evacuated)
    chosen = best_of(arrays, bounds, options, canary, unlock)
    return plan_of(chosen, bounds, fleet_sha256, {}, lambda: options.clock() - began_s)


def unlock(state: State, hosts: Sequence[int]) -> int | None:
    """Empty one of these hosts by exchanging guests between others; says which, or None."""
    # OR-Tools takes a second to load: only where a host is stuck.
    from planner.unlock import unlock as repack

    return repack(state, hosts)


def plan_of(
    chosen: Candidate,
    bounds: Bounds,
    fleet_sha256: str,
    known: Mapping[int, str],
    elapsed_s: Callable[[], float],
) -> Plan:
    """The plan of a candidate; `known`: see `blocked_of`; `elapsed_s`: what planning took."""
    arrays = chosen.arrays
    blocked = blocked_of(chosen.grower.state, known)
    if blocked:
        bounds = bounds_of(arrays, [arrays.host_index[entry.host] for entry in blocked])
    steps = steps_of(arrays, chosen.drafts, *chosen.times_s)
    waves = waves_of(arrays, chosen.grower.waves())
    drafts = chosen.drafts
    first = chosen.grower.wave_hosts[0] if arrays.policy.canary_hosts else []
    tried = coverage(arrays, first)
    moved = [draft.guest for draft in drafts if draft.kind is StepKind.MOVE]
    summary = Summary(
        moves=len(moved),
        moves_lower_bound=bounds.moves,
        makespan_s=chosen.makespan_s,
        makespan_lower_bound_s=bounds.makespan_s(len(moved)),
        hosts_rebooted=sum(draft.kind is StepKind.REBOOT for draft in drafts),
        hosts_blocked=len(blocked),
        guests_moved=len(set(moved)),
        guests_restarted=sum(draft.kind is StepKind.START for draft in drafts),
        planning_s=elapsed_s(),
        classes_covered=tried.covered,
        classes_not_covered=tried.not_covered,
    )
    return Plan(fleet_sha256, waves, steps, blocked, summary)
