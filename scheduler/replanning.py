"""Planning the rest of a rollout while moves and reboots are under way."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.wire import Report
from scheduler.book import Book
from scheduler.fleet_view import FleetDoubt, Scope, fleet_document, fleet_from
from scheduler.in_flight import InFlight, document_around, in_flight, kept_steps
from scheduler.inventory import Inventory
from scheduler.planned import Planned
from scheduler.planning import PLANNING_TIME_S, PlanBroken

Fresh = Callable[[Sequence[Report], Inventory, Scope, datetime], tuple[Planned, bytes]]
"""A plan from nothing but the fleet, as `scheduler.planning.plan_fleet` makes it."""


@dataclass(frozen=True)
class Announced:
    """The documents of the newest plan; None where they are not there any more."""

    plan: bytes | None
    fleet: bytes | None


@dataclass(frozen=True)
class Seen:
    """What is known of the fleet. `reports`: of all hosts that are neither away, lost nor aside."""

    reports: Sequence[Report]
    unheard: Sequence[Report]  # the last ones of hosts that were set aside
    inventory: Inventory


class NothingLeft(FleetDoubt):
    """Beside the moves under way there is nothing that could be planned."""


def plan_rest(
    book: Book, seen: Seen, scope: Scope, now: datetime, announced: Announced, fresh: Fresh
) -> tuple[Planned, bytes]:
    """A checked plan for the rest, around what is under way, and its fleet's document.

    Raises FleetDoubt, PlanBroken.
    """
    flight = in_flight(book)
    reports, inventory = seen.reports, seen.inventory
    if twice := _maybe_twice(seen, flight):
        raise FleetDoubt(twice)
    made = _around(reports, inventory, scope, now, announced, flight)
    if flight:
        if made is None:
            raise FleetDoubt(["the newest plan's documents are not there any more"])
        return made
    if made is not None and not made[0].plan.blocked:
        return made
    # Nothing is under way: a plan that begins from nothing may free hosts that the old one cannot.
    anew = fresh(reports, inventory, scope, now)
    fewer = made is None or len(anew[0].plan.blocked) < len(made[0].plan.blocked)
    return anew if fewer or made is None else made


def _maybe_twice(seen: Seen, flight: InFlight) -> list[str]:
    """Guests that a host shows, and that one that is silent showed last: two copies, perhaps."""
    flying = {step.guest for step in flight.moves}
    here = {guest.name: report.host for report in seen.reports for guest in report.guests}
    return [
        f"guest {guest.name} is on {here[guest.name]}, and {report.host}, which is silent, "
        f"showed it last"
        for report in seen.unheard
        for guest in report.guests
        if guest.name in here and guest.name not in flying
    ]


def _around(
    reports: Sequence[Report],
    inventory: Inventory,
    scope: Scope,
    now: datetime,
    announced: Announced,
    flight: InFlight,
) -> tuple[Planned, bytes] | None:
    # Whoever only shows a rollout does not pay for loading the solver.
    from planner.check import problems
    from planner.options import PlanOptions
    from planner.plan import PlanError, load_plan
    from planner.replan import Flight, NothingToReboot, Now, replan

    before = json.loads(announced.fleet or b"{}")
    if announced.plan is None or not before:
        return None
    document = fleet_document(reports, inventory, scope, now)
    document = document_around(document, flight, before)
    fleet = fleet_from(document)
    digest = hashlib.sha256(document).hexdigest()
    flights = [Flight(step.guest or "", step.destination or "") for step in flight.moves]
    under_way = Now(flights=flights, away=flight.away, lost=flight.frozen)
    options = PlanOptions(time_limit_s=PLANNING_TIME_S, clock=time.monotonic)
    try:
        plan = replan(fleet, digest, load_plan(announced.plan), under_way, options)
    except NothingToReboot as error:
        raise NothingLeft([str(error)]) from None
    except (ValueError, PlanError) as error:
        # What is under way contradicts what is seen: the next look shows more.
        raise FleetDoubt([str(error)]) from None
    broken = problems(fleet, plan)
    if broken:
        raise PlanBroken("; ".join(str(problem) for problem in broken[:5]))
    choices = {report.host: scope.choice(report) for report in reports}
    return Planned(fleet, plan, choices, kept_steps(plan, flight)), document
