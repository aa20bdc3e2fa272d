"""The world half way through a plan: what a scheduler sees when it plans the rest again."""

from __future__ import annotations

from planner.fleet import Fleet, Host
from planner.plan import Plan, Step, StepKind
from planner.replan import Flight, Now


def halfway(fleet: Fleet, plan: Plan, at_s: float) -> tuple[Fleet, Now]:
    """The fleet as it is `at_s` seconds into the plan by its estimate, and what is under way."""
    ended = [step for step in plan.steps if step.end_s <= at_s]
    running = [step for step in plan.steps if step.start_s <= at_s < step.end_s]
    back = {step.host for step in ended if step.kind is StepKind.REBOOT}
    placed = {step.guest: step.destination for step in ended if step.kind is StepKind.MOVE}
    canary = plan.waves[0].hosts if plan.waves else ()
    canary_hosts = 0 if back.issuperset(canary) else fleet.policy.canary_hosts
    seen = Fleet(
        taken_at=fleet.taken_at,
        policy=fleet.policy.model_copy(
            update={"canary_hosts": canary_hosts, "max_hosts_away": fleet.max_hosts_away}
        ),
        hosts=tuple(_host(fleet, host, host.name in back) for host in fleet.hosts),
        guests=tuple(
            guest.model_copy(update={"host": placed.get(guest.name, guest.host)})
            for guest in fleet.guests
        ),
    )
    return seen, Now(flights=_flights(running), away=_away(running))


def _host(fleet: Fleet, host: Host, is_back: bool) -> Host:
    xen = fleet.policy.xen_after or host.xen
    return host.model_copy(update={"reboot": False, "xen": xen}) if is_back else host


def _flights(running: list[Step]) -> list[Flight]:
    return [
        Flight(step.guest, step.destination)
        for step in running
        if step.kind is StepKind.MOVE and step.guest and step.destination
    ]


def _away(running: list[Step]) -> list[str]:
    reboots = [step for step in running if step.kind is StepKind.REBOOT]
    return [step.host for step in sorted(reboots, key=lambda step: step.start_s) if step.host]
