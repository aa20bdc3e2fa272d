"""One plan for the fleet as it is: document, planner, and the checker before anybody acts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import datetime

from agents.wire import Report
from scheduler.fleet_view import FleetDoubt, Scope, fleet_document, fleet_from
from scheduler.inventory import Inventory
from scheduler.planned import Planned

PLANNING_TIME_S = 5.0


class PlanBroken(Exception):
    """The planner made a plan that the checker refuses: a defect; nothing may be done with it."""


def plan_fleet(
    reports: Sequence[Report], inventory: Inventory, scope: Scope, now: datetime
) -> tuple[Planned, bytes]:
    """A checked plan for these hosts, and the fleet's document.

    Raises FleetDoubt when what is seen is no ground for a plan, PlanBroken on a defect.
    """
    # Whoever only shows a rollout does not pay for loading the solver.
    from planner.check import problems
    from planner.evacuate import PlanOptions, plan_rollout

    document = fleet_document(reports, inventory, scope, now)
    fleet = fleet_from(document)
    digest = hashlib.sha256(document).hexdigest()
    options = PlanOptions(time_limit_s=PLANNING_TIME_S, clock=time.monotonic)
    plan = plan_rollout(fleet, digest, options)
    broken = problems(fleet, plan)
    if broken:
        raise PlanBroken("; ".join(str(problem) for problem in broken[:5]))
    return Planned(fleet, plan, {report.host: scope.choice(report) for report in reports}), document


__all__ = ["FleetDoubt", "PlanBroken", "Scope", "plan_fleet"]
