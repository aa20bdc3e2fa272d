"""Whether the names and ids of a plan mean something, and `needs` can be kept at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from planner.check_view import Problem, Rule
from planner.fleet import Fleet
from planner.plan import Plan, Step


def form_problems(fleet: Fleet, plan: Plan) -> list[Problem]:
    """Ids that stand twice, and names of steps, hosts and guests that do not exist."""
    return [*_ids(plan), *_names(fleet, plan)]


def _ids(plan: Plan) -> Iterator[Problem]:
    ids = {step.id for step in plan.steps}
    if len(ids) < len(plan.steps):
        counted = Counter(step.id for step in plan.steps)
        for step_id in (step_id for step_id, count in counted.items() if count > 1):
            text = f"{counted[step_id]} steps have this id"
            yield Problem(Rule.FORM, text, step=step_id)
    for step in plan.steps:
        if not ids.issuperset(step.needs):
            for need in step.needs:
                if need not in ids:
                    yield Problem(Rule.FORM, f"needs {need!r}, which is no step", step=step.id)


def _names(fleet: Fleet, plan: Plan) -> Iterator[Problem]:
    hosts = {host.name for host in fleet.hosts}
    guests = {guest.name for guest in fleet.guests}
    for step in plan.steps:
        for name in (step.source, step.destination, step.host):
            if name is not None and name not in hosts:
                yield Problem(Rule.FORM, "no such host in the fleet", step=step.id, host=name)
        if step.guest is not None and step.guest not in guests:
            yield Problem(Rule.FORM, "no such guest in the fleet", step=step.id, guest=step.guest)
    yield from (problem for problem in _listed_hosts(plan) if problem.host not in hosts)
    yield from (problem for problem in _listed_guests(plan) if problem.guest not in guests)


def _listed_hosts(plan: Plan) -> Iterator[Problem]:
    for wave in plan.waves:
        text = f"wave {wave.number}: no such host in the fleet"
        yield from (Problem(Rule.FORM, text, host=name) for name in wave.hosts)
    for blocked in plan.blocked:
        yield Problem(Rule.FORM, "blocked: no such host in the fleet", host=blocked.host)


def _listed_guests(plan: Plan) -> Iterator[Problem]:
    text = "a reason names this guest, which is not in the fleet"
    for blocked in plan.blocked:
        for why in blocked.reasons:
            if why.guest is not None:
                yield Problem(Rule.FORM, text, host=blocked.host, guest=why.guest)


def order_of(steps: tuple[Step, ...]) -> list[int]:
    """The steps' numbers in an order that keeps `needs`; those in or behind a circle are left out.

    Of the steps that may come next, the first in the plan comes first, one level after another.
    """
    number = {step.id: index for index, step in enumerate(steps)}
    waits = [len(set(step.needs)) for step in steps]
    waiting: list[list[int]] = [[] for _ in steps]
    for index, step in enumerate(steps):
        for need in set(step.needs):
            waiting[number[need]].append(index)
    order = [index for index, count in enumerate(waits) if not count]
    for index in order:
        for later in waiting[index]:
            waits[later] -= 1
            if not waits[later]:
                order.append(later)
    return order


def circle(steps: tuple[Step, ...], order: list[int]) -> Problem:
    """A circle among the steps that the order leaves out."""
    # Loaded only for a plan that is wrong: it takes longer than checking a small plan.
    import networkx

    ordered = set(order)
    left = {step.id: step for index, step in enumerate(steps) if index not in ordered}
    graph = networkx.DiGraph(
        (need, step.id) for step in left.values() for need in step.needs if need in left
    )
    ids = [need for need, _ in networkx.find_cycle(graph)]
    text = f"the steps need each other in a circle: {' -> '.join([*ids, ids[0]])}"
    return Problem(Rule.FORM, text, step=ids[0])
