"""Rule 4: where guests go, and that they are where a move takes them from."""

from __future__ import annotations

from collections.abc import Iterator

from planner.check_hosts import HostSteps
from planner.check_order import Before, Group, Order, nearby
from planner.check_view import Problem, Rule, View


def route_problems(view: View, order: Order) -> list[Problem]:
    """Guests of which some order starts a move where the guest is not.

    Each move has to start on the host to which the one before it went, and to need that one.
    """
    problems = []
    before = _before_each(view, order)
    for guest, route in view.routes.items():
        at = view.home[guest]
        for index, move in enumerate(route):
            if view.source[move] != at:
                text = f"starts on {view.steps[move].source!r}, but the guest is on "
                problems.append(_of_move(view, move, text + repr(view.hosts[at].name)))
            if index and not before[guest].get(move, 0) >> (index - 1) & 1:
                text = f"does not need the guest's move {view.steps[route[index - 1]].id!r}"
                problems.append(_of_move(view, move, text))
            at = view.target[move]
    return problems


def _before_each(view: View, order: Order) -> dict[int, Before]:
    """Of each guest with several moves, which of them come before which."""
    groups = {g: Group(r[:-1], r[1:]) for g, r in view.routes.items() if len(r) > 1}
    before = {guest: nearby(view, group) for guest, group in groups.items()}
    open_groups = {
        guest: group
        for guest, group in groups.items()
        if any(not before[guest][m] >> n & 1 for n, m in enumerate(group.rows))
    }
    answers = order.before([*open_groups.values()])
    return before | dict(zip(open_groups, answers, strict=True))


def path_problems(view: View, host_steps: list[HostSteps]) -> Iterator[Problem]:
    """Moves to a host that may not take the guest."""
    offers = [frozenset(host.offers) for host in view.hosts]
    levels = [_level(host.xen) for host in view.hosts]
    after = view.fleet.policy.xen_after
    levels_after = [_level(after) if after is not None else level for level in levels]
    for move in view.moves:
        source, target = view.source[move], view.target[move]
        yield from _place_problems(view, move, offers[target])
        rebooted = host_steps[source].comes_after_reboot(move)
        runs = levels_after[source] if rebooted else levels[source]
        target_rebooted = host_steps[target].comes_after_reboot(move)
        runs_there = levels_after[target] if target_rebooted else levels[target]
        if runs_there < runs:
            text = f"goes from Xen {_version(runs)} to Xen {_version(runs_there)}"
            yield _of_move(view, move, text)
        if rebooted and view.hosts[target].reboot and not target_rebooted:
            text = "goes from a rebooted host to one that is not yet rebooted, or blocked"
            yield _of_move(view, move, text)


def _place_problems(view: View, move: int, offers: frozenset[str]) -> Iterator[Problem]:
    source, target = view.hosts[view.source[move]], view.hosts[view.target[move]]
    if source is target:
        yield _of_move(view, move, "goes to the host that it comes from")
    if source.pool != target.pool:
        yield _of_move(view, move, f"goes from pool {source.pool!r} to pool {target.pool!r}")
    needs = view.guests[view.guest[move]].needs
    if not offers.issuperset(needs):
        lacking = ", ".join(sorted(set(needs) - offers))
        yield _of_move(view, move, f"goes to a host that does not offer {lacking}")


def _level(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def _version(level: tuple[int, int]) -> str:
    return f"{level[0]}.{level[1]}"


def _of_move(view: View, move: int, text: str) -> Problem:
    step = view.steps[move]
    return Problem(Rule.PATH, text, step=step.id, host=step.destination, guest=step.guest)


def lost_guests(view: View, problems: list[Problem]) -> set[int]:
    """The guests whose whereabouts these problems leave open."""
    named = {problem.guest for problem in problems}
    return {view.guest_number[name] for name in named if name is not None}
