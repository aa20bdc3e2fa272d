"""Starting a rollout: fresh looks at every host, a checked plan, and everything written first."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis
from pydantic import ValidationError

from agents.wire import Report
from planner.fleet import Policy
from scheduler.advisory import Advisory, build_ids, is_patched
from scheduler.approval import waiting
from scheduler.choice import without_payload
from scheduler.desk import Desk
from scheduler.fleet_view import FleetDoubt, Scope
from scheduler.gates import GatePolicy, problems
from scheduler.inventory import Inventory
from scheduler.late_wave import put_off
from scheduler.limits import Limits
from scheduler.planned import Planned, Request, all_steps, born_at, hosts_of, new_rollout
from scheduler.planning import plan_fleet
from scheduler.quarantine import AtRest, left_alone
from scheduler.revert_store import RevertStore
from scheduler.rollout import Change, Happening, Rollout
from scheduler.store import Store
from scheduler.succession import waves_of
from scheduler.watch_store import WatchStore

POLL_S = 0.1


@dataclass(frozen=True)
class Wish:
    """What a person asks for."""

    advisory: str
    fixed_builds: tuple[str, ...]
    by: str
    xen_after: str | None = None
    without_hosts: tuple[str, ...] = ()
    reason: str = ""
    advisories: tuple[Advisory, ...] = ()  # what is known of them; else `fixed_builds` alone
    others: tuple[Advisory, ...] = ()  # known beside them: their live patches are kept
    livepatch: bool | None = None  # None: as the inventory says
    soak_s: float | None = None  # the same
    approval: bool | None = None


@dataclass(frozen=True)
class Draw:
    """A plan that could be started now."""

    wish: Wish
    planned: Planned
    document: bytes
    at: datetime
    hosts: tuple[str, ...] = field(default=())
    notice_s: float = 0.0
    livepatch: bool = False
    keeps: tuple[Advisory, ...] = ()
    obstacles: dict[str, str] = field(default_factory=dict)  # guest -> why it cannot be moved
    gates: GatePolicy = field(default_factory=GatePolicy)
    at_rest: AtRest = field(default_factory=AtRest)  # guests that are not moved


def obstacles_of(reports: Sequence[Report]) -> dict[str, str]:
    """guest -> the first thing that makes it unmigratable for good, for each that has one."""
    return {
        guest.name: next(one.text for one in guest.obstacles if one.lasting)
        for report in reports
        for guest in report.guests
        if any(one.lasting for one in guest.obstacles)
    }


def fresh_reports(
    client: redis.Redis, inventory: Inventory, hosts: Sequence[str], wait_s: float
) -> list[Report]:
    """Reports that began after this call. Raises FleetDoubt naming the hosts that did not answer.

    With `wait_s` counted from now; nothing is ordered.
    """
    reports, missing = look_at(client, inventory, hosts, wait_s)
    if missing:
        raise FleetDoubt(list(missing.values()))
    return reports


def look_at(
    client: redis.Redis, inventory: Inventory, hosts: Sequence[str], wait_s: float
) -> tuple[list[Report], dict[str, str]]:
    """The same of the hosts that answered, and why the others' are missing, by their names."""
    desk = Desk(client, inventory, time.monotonic, Limits().stale_after_s)
    desk.refresh()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    asked = {host: desk.ask(host, now_ms) for host in hosts}
    end_s = time.monotonic() + wait_s
    while True:
        desk.refresh()
        missing = [host for host, number in asked.items() if desk.answer(host, number) is None]
        if not missing or time.monotonic() > end_s:
            break
        time.sleep(POLL_S)
    why = {host: f"{why_silent(desk, host)}: is its agent up?" for host in missing}
    return [r for host in hosts if host not in why and (r := desk.newest(host))], why


def why_silent(desk: Desk, host: str) -> str:
    """Why a host's look is missing, in words."""
    why = desk.report(host)
    return why if isinstance(why, str) else f"{host} did not look when asked to"


def draw(client: redis.Redis, inventory: Inventory, wish: Wish, wait_s: float) -> Draw:
    """Look at the fleet and plan it; nothing is written. Raises FleetDoubt, PlanBroken."""
    gates_of(wish, inventory)
    hosts = _hosts_of(wish, inventory)
    reports = fresh_reports(client, inventory, hosts, wait_s)
    policy = inventory.policy
    if wish.xen_after is not None:
        policy = Policy.model_validate(policy.model_dump() | {"xen_after": wish.xen_after})
    now = datetime.now(UTC)
    livepatch = wish.livepatch if wish.livepatch is not None else inventory.livepatch == "first"
    at_rest = left_alone(WatchStore(client, "launch").marks(), reports, inventory)
    scope = Scope(
        wish.fixed_builds,
        policy,
        at_rest.guests,
        wish.advisories,
        livepatch=livepatch,
        withheld=RevertStore(client).withheld(),
    )
    planned, document = plan_fleet(reports, inventory, scope, now)
    missing = without_payload(planned.choices, reports)
    if missing:
        raise FleetDoubt([*missing, "or start with --no-livepatch: those hosts are rebooted"])
    keeps = tuple(one for one in wish.others if any(is_patched(one, seen) for seen in reports))
    why = obstacles_of(reports)
    return Draw(
        wish,
        planned,
        document,
        now,
        tuple(hosts),
        inventory.notice_s,
        livepatch,
        keeps,
        why,
        gates_of(wish, inventory),
        at_rest,
    )


def _hosts_of(wish: Wish, inventory: Inventory) -> list[str]:
    known = [host.name for host in inventory.hosts]
    unknown = [name for name in wish.without_hosts if name not in known]
    if unknown:
        raise FleetDoubt([f"no host {name} in the inventory" for name in unknown])
    return [name for name in known if name not in wish.without_hosts]


def gates_of(wish: Wish, inventory: Inventory) -> GatePolicy:
    """The inventory's gates with what the person says of them. Raises FleetDoubt."""
    said = {"soak_s": wish.soak_s, "approval": wish.approval}
    chosen = {name: value for name, value in said.items() if value is not None}
    try:
        gates = GatePolicy.model_validate(inventory.gates.model_dump() | chosen)
    except ValidationError as error:
        first = error.errors()[0]
        raise FleetDoubt([f"gates.{first['loc'][0]}: {first['msg']}"]) from None
    if wrong := problems(inventory.policy, gates):
        raise FleetDoubt(wrong)
    return gates


def begin(
    store: Store, drawn: Draw, *, waits: bool = False, second_person: bool = False
) -> Rollout:
    """Write the rollout down; the controller takes it from there. Raises Taken, Conflict.

    `waits`: for a person's word; `second_person`: for that of somebody else than `drawn.wish.by`.
    """
    wish = drawn.wish
    # The id stands in addresses, logs and orders: under embargo it is made of the codename.
    public = ", ".join(one.shown(drawn.at, knows=False) for one in wish.advisories)
    rollout_id = free_id(public or wish.advisory, store.ids())
    builds = build_ids(wish.advisories) if wish.advisories else wish.fixed_builds
    more = (drawn.notice_s, drawn.keeps, drawn.livepatch, drawn.gates)
    said = (rollout_id, wish.advisory, builds, wish.by, drawn.at, wish.advisories)
    request = Request(*said, *more)
    holds, guests = drawn.at_rest.holds, drawn.at_rest.guests
    rollout = new_rollout(request, drawn.planned)
    # Hosts remember the newest life of a rollout of this name, also where the server forgot it.
    life = {"epoch": int(drawn.at.timestamp())}
    at_rest = {"quarantined": tuple(holds), "quarantines": holds}
    rollout = rollout.model_copy(update=life | at_rest)
    if waits or second_person:
        rollout = waiting(rollout, second_person)
    plan, canaries = drawn.planned.plan, drawn.planned.fleet.policy.canary_hosts
    change = Change(
        rollout=rollout,
        steps=all_steps(drawn.planned, rollout.generation, canaries, born=born_at(drawn.at)),
        hosts=hosts_of(drawn.planned, tried=guests),
        guests=guests,
        waves=waves_of(plan, rollout.generation, late=put_off(plan, guests)),
        happenings=_first_words(drawn),
    )
    store.create(rollout, drawn.planned, drawn.document, change)
    return rollout


def _first_words(drawn: Draw) -> tuple[Happening, ...]:
    """Who began it, and which classes it does not move."""
    wish, holds = drawn.wish, drawn.at_rest.holds
    started = Happening(at=drawn.at, kind="created", text=f"by {wish.by}: {wish.reason}")
    resting = (f"class {name}: {hold.reason}" for name, hold in holds.items())
    return (started, *(Happening(at=drawn.at, kind="quarantined", text=one) for one in resting))


def free_id(advisory: str, taken: Sequence[str]) -> str:
    """A short id from the advisory's name: `XSA-469` gives `xsa-469`, then `xsa-469-2`."""
    base = re.sub(r"[^a-z0-9]+", "-", advisory.lower()).strip("-")[:40] or "rollout"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name
