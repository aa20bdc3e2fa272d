"""Checks a plan against its fleet, by every rule of the plan format.

Shares nothing with the solver, and runs before anything moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from planner.check_form import circle, form_problems, order_of
from planner.check_hosts import (
    HostSteps,
    empty_problems,
    host_steps,
    reboot_problems,
    untouched_problems,
)
from planner.check_order import Order, nearby
from planner.check_path import lost_guests, path_problems, route_problems
from planner.check_room import (
    Measure,
    apart_problems,
    beginning_problems,
    measures,
    room_problems,
    surely_fits,
)
from planner.check_summary import checksum_problems, summary_problems
from planner.check_times import duration_problems, limit_problems
from planner.check_view import Problem, Rule, View
from planner.check_waves import gate_problems, wave_problems
from planner.fleet import Fleet
from planner.json_text import collector_paused
from planner.plan import Plan

__all__ = ["Problem", "Rule", "problems"]


def problems(fleet: Fleet, plan: Plan, fleet_sha256: str | None = None) -> list[Problem]:
    """Everything that is wrong with the plan; nothing where it is valid.

    Rules about moments (2, 3, 4, gates) are judged for every order of the steps that keeps
    `needs`, exactly: a problem is told where some order breaks the rule, and only there. Where
    names, ids or `needs` mean nothing, those problems alone are told. A guest that may not be where
    a move takes it from is told once (rule 4), and is left out of what follows from its place.

    With `fleet_sha256` (hex, of the fleet file's bytes) the plan has to be made for that file.
    """
    with collector_paused():
        found = form_problems(fleet, plan)
        if found:
            return found
        order = order_of(plan.steps)
        if len(order) < len(plan.steps):
            return [circle(plan.steps, order)]
        view = View(fleet, plan, order)
        found += () if fleet_sha256 is None else checksum_problems(view, fleet_sha256)
        return [*found, *_problems(view, Order(view))]


def _problems(view: View, order: Order) -> Iterator[Problem]:
    yield from reboot_problems(view)
    yield from untouched_problems(view)
    lost = route_problems(view, order)
    yield from lost
    steps = host_steps(view, view.stays(lost_guests(view, lost)))
    yield from beginning_problems(view)
    yield from _on_hosts(view, order, steps)
    yield from path_problems(view, steps)
    yield from gate_problems(view, order)
    yield from duration_problems(view)
    yield from limit_problems(view)
    yield from wave_problems(view, steps)
    yield from summary_problems(view)


def _on_hosts(view: View, order: Order, steps: list[HostSteps]) -> Iterator[Problem]:
    """What goes wrong on a host at its reboot, or for want of room, in some order.

    Most hosts are proven safe by the needs between their own steps. Knowing of more needs can
    only make a host safer, so the others are asked about again with everything known.
    """
    rooms = measures(view)
    for host in steps:
        host.before.update(nearby(view, host.group()))
    doubtful = [host for host in steps if not _surely_safe(view, host, rooms)]
    answers = order.before([host.group() for host in doubtful])
    for host, answer in zip(doubtful, answers, strict=True):
        host.before.update(answer)
        yield from empty_problems(view, host)
        for measure in rooms:
            yield from room_problems(view, host, measure)
        yield from apart_problems(view, host)


def _surely_safe(view: View, host: HostSteps, rooms: list[Measure]) -> bool:
    if not all(surely_fits(host, measure) for measure in rooms):
        return False
    return not any(True for _ in chain(empty_problems(view, host), apart_problems(view, host)))
