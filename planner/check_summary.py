"""The summary tells the truth about the steps, and no bound is above what the plan reaches."""

from __future__ import annotations

from collections.abc import Iterator

from planner.check_view import NONE, TOLERANCE_S, Problem, Rule, View
from planner.fleet import Evacuation, Guest
from planner.plan import StepKind


def summary_problems(view: View) -> Iterator[Problem]:
    """Figures of the summary that the steps do not bear out."""
    told = view.plan.summary
    counted = {
        "moves": len(view.moves),
        "hosts_rebooted": sum(1 for _ in view.of_kind(StepKind.REBOOT)),
        "hosts_blocked": len(view.plan.blocked),
        "guests_moved": len(view.routes),
        "guests_restarted": len({view.guest[step] for step in view.of_kind(StepKind.STOP)}),
    }
    for name, count in counted.items():
        if getattr(told, name) != count:
            yield _wrong(f"{name} is {getattr(told, name)}; the plan has {count}")
    ends_s = max((step.end_s for step in view.steps), default=0.0)
    if abs(told.makespan_s - ends_s) > TOLERANCE_S:
        yield _wrong(f"makespan_s is {told.makespan_s:.3f}; the last step ends at {ends_s:.3f}")
    yield from _bound_problems(view, ends_s)
    yield from _class_problems(view)


def _bound_problems(view: View, ends_s: float) -> Iterator[Problem]:
    told = view.plan.summary
    if told.moves_lower_bound > len(view.moves):
        text = f"moves_lower_bound is {told.moves_lower_bound}, but the plan needs no more than "
        yield _wrong(f"{text}{len(view.moves)}")
    if told.makespan_lower_bound_s > ends_s + TOLERANCE_S:
        text = f"makespan_lower_bound_s is {told.makespan_lower_bound_s:.3f}, but the plan ends at "
        yield _wrong(f"{text}{ends_s:.3f}")


def _class_problems(view: View) -> Iterator[Problem]:
    """Classes that the first wave does, or does not, put to the test; a plan may tell of none."""
    told = view.plan.summary
    covered, others = set(told.classes_covered), set(told.classes_not_covered)
    if not covered and not others:
        return
    first = set(view.plan.waves[0].hosts) if view.plan.waves else set()
    in_first = {g.guest_class for g in view.guests if g.host in first and _moves(g)}
    moved = {view.guests[guest].guest_class for guest in view.routes if _must_move(view, guest)}
    for name in sorted(covered - in_first):
        yield _wrong(f"classes_covered names {name!r}, which no guest of the first wave has")
    for name in sorted(others - {guest.guest_class for guest in view.guests}):
        yield _wrong(f"classes_not_covered names {name!r}, which no guest has")
    for name in sorted(covered & others):
        yield _wrong(f"class {name!r} is both covered and not covered")
    for name in sorted(filter(None, moved - covered - others)):
        yield _wrong(f"guests of class {name!r} move, and it is neither covered nor not covered")


def _moves(guest: Guest) -> bool:
    return guest.evacuation is Evacuation.MOVE


def _must_move(view: View, guest: int) -> bool:
    """Whether the guest moves because its host reboots, not to make room."""
    return view.reboot_of[view.home[guest]] != NONE


def checksum_problems(view: View, fleet_sha256: str) -> Iterator[Problem]:
    """A plan that was made for another fleet file."""
    if view.plan.fleet_sha256 != fleet_sha256:
        yield _wrong(f"fleet_sha256 is {view.plan.fleet_sha256}; the fleet has {fleet_sha256}")


def _wrong(text: str) -> Problem:
    return Problem(Rule.SUMMARY, text)
