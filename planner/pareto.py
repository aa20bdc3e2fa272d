"""Moves against makespan: the same fleet planned with several numbers of seed hosts.

Seeds are hosts emptied onto others that still wait for their reboot; their guests move twice. More
of them make the rollout shorter and cost moves: the one trade that a person has to decide on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from planner.fleet import Fleet
from planner.options import PlanOptions
from planner.plan import Plan, Summary

_SHARES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Seeds as shares of the hosts to reboot; one seed, and the policy's own choice, come first."""

PlanRollout = Callable[[Fleet, str, PlanOptions], Plan]
"""What makes one plan: `planner.evacuate.plan_rollout`."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a number of seed hosts comes to; `seed_hosts` None: as many as the policy pays for.

    `is_best`: no other point has at most the same moves, makespan and blocked hosts.
    """

    seed_hosts: int | None
    summary: Summary
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """The points, fewest moves first, and the one plan that was asked for.

    `chosen` is the place of that plan in `points`. With a deadline it is the plan with the fewest
    moves that meets it, of those with the fewest blocked hosts; where none meets it, `meets` is
    False and the plan is the shortest. Without one it is the plan of the policy's own choice.
    """

    points: tuple[Point, ...]
    chosen: int
    plan: Plan
    meets: bool


def seed_counts(fleet: Fleet) -> list[int | None]:
    """The numbers of seed hosts to try, the policy's own choice (None) first."""
    hosts = sum(host.reboot for host in fleet.hosts)
    shares = (min(hosts, max(1, round(share * hosts))) for share in _SHARES)
    counts = dict.fromkeys([1, *shares] if hosts else [])
    return [None, *counts]


def curve(
    fleet: Fleet,
    fleet_sha256: str,
    options: PlanOptions,
    plan_rollout: PlanRollout,
    deadline_s: float | None = None,
) -> Curve:
    """Plan with each number of seeds; the time limit is shared by all of them.

    Only one plan is held at a time besides the chosen one.
    """
    counts = seed_counts(fleet)
    share_s = options.time_limit_s / len(counts)
    points: list[Point] = []
    kept: tuple[int, Plan] | None = None
    for place, plan in enumerate(_plans(fleet, fleet_sha256, options, plan_rollout, share_s)):
        points.append(Point(counts[place], plan.summary))
        if kept is None or (
            deadline_s is not None
            and _rank(plan.summary, deadline_s) < _rank(kept[1].summary, deadline_s)
        ):
            kept = place, plan
    if kept is None:
        raise AssertionError("the policy's own choice is always planned")
    return _curve(points, *kept, deadline_s)


def _plans(
    fleet: Fleet,
    fleet_sha256: str,
    options: PlanOptions,
    plan_rollout: PlanRollout,
    share_s: float,
) -> Iterator[Plan]:
    for count in seed_counts(fleet):
        seeded = replace(options, seed_hosts=count, time_limit_s=share_s)
        yield plan_rollout(fleet, fleet_sha256, seeded)


def _rank(summary: Summary, deadline_s: float) -> tuple[float, ...]:
    """Least is best: blocked hosts, the deadline met, then moves; or the makespan if not met."""
    late = summary.makespan_s > deadline_s
    if late:
        return summary.hosts_blocked, 1, summary.makespan_s, summary.moves
    return summary.hosts_blocked, 0, summary.moves, summary.makespan_s


def _curve(points: Sequence[Point], chosen: int, plan: Plan, deadline_s: float | None) -> Curve:
    ordered = sorted(
        range(len(points)), key=lambda n: (points[n].summary.moves, points[n].summary.makespan_s)
    )
    marked = tuple(
        replace(points[n], is_best=not any(_beats(other, points[n]) for other in points))
        for n in ordered
    )
    meets = deadline_s is None or plan.summary.makespan_s <= deadline_s
    return Curve(marked, ordered.index(chosen), plan, meets)


def _beats(one: Point, other: Point) -> bool:
    """As good in every respect, and better in one."""
    a, b = _figures(one.summary), _figures(other.summary)
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _figures(summary: Summary) -> tuple[float, ...]:
    return summary.hosts_blocked, summary.moves, summary.makespan_s
