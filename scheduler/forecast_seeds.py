"""How many more seeds, or spare hosts, would make a deadline: planned with each number, and played.

A *seed* is a host that is emptied at the start onto hosts that still wait for their reboot: its
guests move twice, and the others have room that much sooner. A spare host is one that is empty and
fixed already, so its room costs no move. What is left of the rollout is planned with more and more
of them, each plan is played with the speeds measured so far, and the fewest that make it are told.

Soak times, windows and notices are not in these plans; whatever the forecast has beyond the bare
plan is added to both sides. Pure: the planner's work is bounded by counts, not by a clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from agents.wire import Kind
from planner.fleet import Fleet
from planner.options import PlanOptions
from planner.plan import Plan
from scheduler.book import Book
from scheduler.fleet_left import fleet_left, with_spares
from scheduler.fleet_view import FleetDoubt, fleet_from
from scheduler.forecast import Asked, Forecast, Remedy, finish, safe_times
from scheduler.forecast_gates import Begins
from scheduler.forecast_runs import Ceilings, Work, ends
from scheduler.forecast_speeds import Speeds
from scheduler.rollout import StepState

MOST_GUESTS = 24_000
"""Guests that are placed in all plans of one search together."""
MOST_PLANS = 10
RUNS = 100


@dataclass(frozen=True)
class Ground:
    """What all plans are played on. Seconds from now."""

    limits: Ceilings
    speeds: Speeds
    asked: Asked
    from_s: float  # when about what is under way has ended
    before: tuple[float, float]  # p50 and p90 of the bare plan
    beyond: tuple[float, float]  # what the forecast has beyond them
    left_s: float
    blocked: int
    seeds: int
    moves: int


Variant = Callable[[int], tuple[Fleet, int | None, str] | None]
"""So many more of something: the fleet, how many seeds to plan with, and in words what it is."""


def more_seeds(
    book: Book, document: bytes, works: Sequence[Work], limits: Ceilings, said: Forecast
) -> tuple[Remedy, ...]:
    """More seeds, and spare hosts where those are not enough; nothing where the deadline is met.

    `document`: the fleet of the newest plan; `works`, `limits`: of the same forecast.
    """
    if said.deadline is None or said.p90_at <= said.deadline or not said.moves_left:
        return ()
    ground = _ground(book, works, limits, said)
    try:
        left = fleet_left(book, json.loads(document))
        fleet = fleet_from(json.dumps(left).encode())
    except (
        FleetDoubt,
        KeyError,
        ValueError,
    ):  # what is under way does not fit what was seen before it
        return ()
    seeds = _search(ground, _more_seeds(fleet, ground.seeds), len(fleet.guests))
    if (seeds is not None and seeds.in_time) or not any(host.reboot for host in fleet.hosts):
        return () if seeds is None else (seeds,)
    spares = _search(ground, _spares(left), len(fleet.guests))
    return tuple(one for one in (seeds, spares) if one is not None)


def _ground(book: Book, works: Sequence[Work], limits: Ceilings, said: Forecast) -> Ground:
    asked = Asked(runs=RUNS)
    found = ends([_bare(work) for work in works], limits, said.speeds, asked.chance())
    p50_s, p90_s = _quantiles(finish(found, RUNS))
    under_way = [found[work.id] for work in works if work.ran_s is not None]
    return Ground(
        limits=limits,
        speeds=said.speeds,
        asked=asked,
        from_s=max((float(np.median(one)) for one in under_way), default=0.0),
        before=(p50_s, p90_s),
        beyond=(max(0.0, said.p50_s - p50_s), max(0.0, said.p90_s - p90_s)),
        left_s=(said.deadline - said.made_at).total_seconds() if said.deadline else np.inf,
        blocked=len(said.never),
        seeds=seeds_left(book),
        moves=said.moves_left,
    )


def _bare(work: Work) -> Work:
    return replace(work, wave=None, begins=Begins.NOTHING, notice_s=0.0, told_after="")


def _quantiles(last: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    p50_s, p90_s = np.quantile(last, (0.5, 0.9))
    return float(p50_s), float(p90_s)


def seeds_left(book: Book) -> int:
    """Hosts that the plan still has to empty onto hosts whose own reboot comes later."""
    waiting = [book.steps[name] for name in book.unfinished]
    waiting = [step for step in waiting if step.state is StepState.WAITING]
    reboots = {step.host: step.id for step in waiting if step.kind is Kind.REBOOT}
    parks: dict[str, bool] = {}
    for step in waiting:
        if step.kind is Kind.MOVE and step.host in reboots:
            # A move onto a host that is back by then needs that host's reboot.
            later = reboots.get(step.destination or "", "")
            parked = bool(later) and later not in step.needs
            parks[step.host] = parks.get(step.host, True) and parked
    return sum(parks.values())


def _more_seeds(fleet: Fleet, now: int) -> Variant:
    most = sum(host.reboot for host in fleet.hosts)

    def variant(more: int) -> tuple[Fleet, int | None, str] | None:
        seeds = "seed" if more == 1 else "seeds"
        words = f"{more} more {seeds} ({now} -> {now + more} hosts emptied at the start)"
        return (fleet, now + more, words) if now + more <= most else None

    return variant


def _spares(left: Mapping[str, object]) -> Variant:
    def variant(more: int) -> tuple[Fleet, int | None, str] | None:
        document, like = with_spares(left, more)
        fleet = fleet_from(json.dumps(document).encode())
        hosts = "host" if more == 1 else "hosts"
        return fleet, None, f"{more} more spare {hosts}, empty and fixed, like {like}"

    return variant


def _search(ground: Ground, variant: Variant, guests: int) -> Remedy | None:
    """The fewest that make the deadline, else the earliest p90; by doubling, then halving."""
    plans = max(2, min(MOST_PLANS, MOST_GUESTS // max(1, guests)))
    best: tuple[int, Remedy] | None = None
    low, more = 0, 1
    for _ in range(plans):
        found = _tried(ground, variant(more))
        if found is not None and (best is None or _better(found, best[1])):
            best = more, found
        if best is None or not best[1].in_time:
            low, more = more, more * 2
        else:
            high = best[0]
            low = low if found is not None and found.in_time else max(low, more)
            more = (low + high) // 2
            if more <= low:
                break
        if variant(more) is None:
            break
    return best[1] if best else None


def _better(one: Remedy, other: Remedy) -> bool:
    """Those tried later that make it are fewer; before that, the earlier end counts."""
    return bool(one.in_time) or (not other.in_time and one.p90_s < other.p90_s)


def _tried(ground: Ground, chosen: tuple[Fleet, int | None, str] | None) -> Remedy | None:
    """What it would come to; None where more hosts would be stuck than are now."""
    if chosen is None:
        return None
    fleet, seeds, words = chosen
    plan = _planned(fleet, seeds)
    if plan.summary.hosts_blocked > ground.blocked:
        return None
    works = works_of_plan(fleet, plan)
    found = ends(works, ground.limits, ground.speeds, ground.asked.chance(), ground.from_s)
    p50_s, p90_s = _quantiles(finish(found, RUNS))
    safe = safe_times(works, found)
    late = sum(
        float(np.quantile(at, 0.9)) + ground.beyond[1] > ground.left_s for at in safe.values()
    )
    more_moves = plan.summary.moves - ground.moves
    moves = f": {abs(more_moves)} moves {'more' if more_moves >= 0 else 'less'}"
    return Remedy(
        change=words + moves,
        p50_s=p50_s + ground.beyond[0],
        p90_s=p90_s + ground.beyond[1],
        gain_p50_s=ground.before[0] - p50_s,
        gain_p90_s=ground.before[1] - p90_s,
        late_hosts=late,
        in_time=p90_s + ground.beyond[1] <= ground.left_s,
    )


def _planned(fleet: Fleet, seeds: int | None) -> Plan:
    # Whoever only reads a rollout does not pay for loading the planner.
    from planner.evacuate import plan_rollout

    digest = hashlib.sha256(fleet.taken_at.encode()).hexdigest()  # of nothing that is carried out
    # A clock that is past any limit when it is looked at again: the first recipe has to do.
    ticks = count()
    options = PlanOptions(seed_hosts=seeds, time_limit_s=0.0, clock=lambda: float(next(ticks)))
    return plan_rollout(fleet, digest, options)


def works_of_plan(fleet: Fleet, plan: Plan) -> list[Work]:
    """The steps of a plan that nothing has begun of."""
    groups = {host.name: host.group for host in fleet.hosts}
    return [
        Work(
            id=step.id,
            kind=Kind(step.kind.value),
            host=step.source or step.host or "",
            destination=step.destination,
            group=groups[step.source or step.host or ""],
            needs=step.needs,
            planned_start_s=step.start_s,
            planned_s=max(0.0, step.end_s - step.start_s),
        )
        for step in plan.steps
    ]
