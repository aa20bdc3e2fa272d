"""From a plan's document to records: the first plan of a rollout, and every later one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agents.wire import Kind
from planner.fleet import Fleet
from planner.plan import Plan, Reason
from planner.plan import Step as PlanStep
from scheduler.advisory import Advisory
from scheduler.choice import Choice, Way
from scheduler.crashes import reworded
from scheduler.draft import Draft
from scheduler.gates import GatePolicy
from scheduler.in_flight import keep, left_alone, still_under_way
from scheduler.late_wave import put_off
from scheduler.livepatching import patch_steps
from scheduler.rollout import (
    GuestRecord,
    HostRecord,
    HostState,
    Rollout,
    RolloutState,
    Step,
    StepState,
)
from scheduler.succession import late_number, succeed, waves_of

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
BORN_DIGITS = 7
"""Milliseconds of two years: 36 to the power of 7."""


@dataclass(frozen=True)
class Planned:
    """A plan that was checked, and the fleet it was made for."""

    fleet: Fleet
    plan: Plan
    choices: Mapping[str, Choice] = field(default_factory=dict)  # by host
    kept: Mapping[str, str] = field(default_factory=dict)  # plan's step -> id of one under way


@dataclass(frozen=True)
class Request:
    """What a person asked for when the rollout was started."""

    rollout_id: str
    advisory: str
    fixed_builds: tuple[str, ...]
    by: str
    at: datetime
    advisories: tuple[Advisory, ...] = ()
    notice_s: float = 0.0
    keeps: tuple[Advisory, ...] = ()
    livepatch: bool = False
    gates: GatePolicy = field(default_factory=GatePolicy)


def all_steps(
    planned: Planned, generation: int, canaries: int, waves_before: int = 0, born: str = ""
) -> dict[str, Step]:
    """The plan's steps, and those of live patches, of which so many hosts go first.

    `born`: made of the plan's time (`born_at`), for ids that no other plan's steps have.
    """
    prefix = f"g{generation}-{born}"
    patches = patch_steps(planned.choices, generation, canaries, prefix)
    return steps_of(planned.plan, generation, prefix, waves_before, planned.kept) | patches


def born_at(now: datetime) -> str:
    """A part of ids. Hosts keep what they did under an id, whatever a server has forgotten of it:
    a plan of the same generation, or a rollout of the same name, must not take that for its own."""
    left, digits = int(now.timestamp() * 1000) % len(DIGITS) ** BORN_DIGITS, ""
    for _ in range(BORN_DIGITS):
        left, digit = divmod(left, len(DIGITS))
        digits = DIGITS[digit] + digits
    return f"{digits}-"


def steps_of(
    plan: Plan,
    generation: int,
    prefix: str,
    waves_before: int = 0,
    kept: Mapping[str, str] | None = None,
) -> dict[str, Step]:
    """The plan's steps as records; ids begin with `prefix`, so that none comes twice.

    Those in `kept` are under way already under another id: others may need them, none is made.
    """
    kept = kept or {}
    ids = {step.id: f"{prefix}{number}" for number, step in enumerate(plan.steps, 1)}
    ids |= kept
    new = [step for step in plan.steps if step.id not in kept]
    return {ids[step.id]: _step(step, ids, generation, waves_before) for step in new}


def _step(step: PlanStep, ids: Mapping[str, str], generation: int, waves_before: int) -> Step:
    return Step(
        id=ids[step.id],
        generation=generation,
        kind=Kind(step.kind.value),
        wave=step.wave + waves_before,
        needs=tuple(ids[need] for need in step.needs),
        host=step.source or step.host or "",
        guest=step.guest,
        destination=step.destination,
        planned_start_s=step.start_s,
        planned_end_s=step.end_s,
    )


def hosts_of(
    planned: Planned, waves_before: int = 0, tried: Mapping[str, GuestRecord] | None = None
) -> dict[str, HostRecord]:
    """The fleet's hosts as records, each with its wave, or with why it is blocked."""
    waves = {name: wave.number + waves_before for wave in planned.plan.waves for name in wave.hosts}
    blocked = blocked_reasons(planned.plan, tried)
    late = put_off(planned.plan, tried or {})
    waves |= dict.fromkeys(late, late_number(planned.plan, waves_before))
    return {
        host.name: HostRecord(
            name=host.name,
            pool=host.pool,
            group=host.group,
            wave=waves.get(host.name),
            state=_first_state(host.name, waves, blocked.keys() - late, planned.choices),
            reason=late.get(host.name) or blocked.get(host.name, ""),
            choice=planned.choices.get(host.name),
            boot_id=_safe_boot(planned.choices.get(host.name)),
        )
        for host in planned.fleet.hosts
    }


def _first_state(
    name: str,
    waves: Mapping[str, int],
    blocked: Collection[str],
    choices: Mapping[str, Choice],
) -> HostState:
    if name in blocked:
        return HostState.BLOCKED
    patched = name in choices and choices[name].way is Way.LIVEPATCH
    return HostState.WAITING if name in waves or patched else HostState.UNAFFECTED


def _safe_boot(choice: Choice | None) -> str:
    return "" if choice is None or choice.in_scope else choice.boot_id


def blocked_reasons(
    plan: Plan,
    tried: Mapping[str, GuestRecord] | None = None,
    obstacles: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Why each blocked host cannot be emptied, in one line.

    `tried`: guests of this rollout; what was seen of one that is left alone now says more than
    that it is. `obstacles`: guest -> what keeps it from being moved at all.
    """
    left_alone = {g.name: g.reason for g in (tried or {}).values() if g.evacuation and g.reason}
    known = obstacles or {}
    return {
        b.host: "; ".join(left_alone.get(r.guest or "") or _reason(r, known) for r in b.reasons)
        for b in plan.blocked
    }


def _reason(reason: Reason, obstacles: Mapping[str, str]) -> str:
    if not reason.guest:
        return reason.reason
    why = f": {obstacles[reason.guest]}" if reason.guest in obstacles else ""
    return f"{reason.guest}: {reason.reason}{why}"


def new_rollout(request: Request, planned: Planned) -> Rollout:
    """The head of a new rollout."""
    policy, summary = planned.fleet.policy, planned.plan.summary
    return Rollout(
        id=request.rollout_id,
        advisory=request.advisory,
        state=RolloutState.RUNNING,
        version=0,
        epoch=1,
        fixed_builds=request.fixed_builds,
        advisories=request.advisories,
        keeps=request.keeps,
        livepatch=request.livepatch,
        xen_after=policy.xen_after,
        hosts_in_scope=len(planned.fleet.hosts),
        created_at=request.at,
        created_by=request.by,
        gates=request.gates,
        max_hosts_away=max(1, planned.fleet.max_hosts_away),  # a live patch may fail
        max_hosts_away_per_group=policy.max_hosts_away_per_group,
        max_moves_out_per_host=policy.max_moves_out_per_host,
        max_moves_in_per_host=policy.max_moves_in_per_host,
        moves_lower_bound=summary.moves_lower_bound,
        makespan_lower_bound_s=summary.makespan_lower_bound_s,
        planned_makespan_s=summary.makespan_s,
        planned_moves=summary.moves,
        notice_s=request.notice_s,
    )


def take_over(draft: Draft, planned: Planned) -> None:
    """Put a new plan in the place of what is left of the old one; its waves get new numbers."""
    if not still_under_way(draft, planned):
        return  # something ended meanwhile, or began: the controller plans again
    generation = draft.rollout.generation + 1
    waves_before = max(draft.book.waves, default=0)
    for step in _left(draft):
        draft.put_step(step, StepState.SKIPPED, reason=step.reason or "planned anew")
    patched = any(h.choice and h.choice.payloads and h.boot_id for h in draft.book.hosts.values())
    canaries = 0 if patched else planned.fleet.policy.canary_hosts
    born = born_at(draft.now)
    for step in all_steps(planned, generation, canaries, waves_before, born).values():
        draft.add_step(step)
    keep(draft, planned, generation, waves_before)
    tried = draft.book.guests | draft.guests
    alone = left_alone(draft.book)
    found = put_off(planned.plan, tried)
    late = {name: why for name, why in found.items() if name not in alone}
    succeed(draft, waves_of(planned.plan, generation, waves_before, late))
    for name, record in hosts_of(planned, waves_before, tried).items():
        if name not in alone:
            _take_over_host(draft, name, record)
    for name in alone:
        draft.put_host(name, wave=None)
    replans = draft.rollout.replans + 1
    draft.put_rollout(RolloutState.RUNNING, generation=generation, replans=replans, hold=None)
    summary = planned.plan.summary
    draft.say(
        "replanned",
        f"{summary.moves} moves and {summary.hosts_rebooted} reboots are left, "
        f"{summary.hosts_blocked - len(late)} hosts blocked"
        + (f", {len(late)} hosts put off to the last wave" if late else ""),
    )


def _left(draft: Draft) -> Iterable[Step]:
    names = [*draft.book.unfinished - draft.book.under_way, *draft.book.failed]
    left = [draft.step(name) for name in sorted(names)]
    return [step for step in left if step.kind is not Kind.RETUNE]


def _take_over_host(draft: Draft, name: str, record: HostRecord) -> None:
    if name not in draft.book.hosts:
        draft.hosts[name] = record
        return
    before = draft.host(name)
    if before.lacking or before.lost:
        return
    if before.state is HostState.REBOOTING:
        draft.put_host(name, wave=record.wave)
        return
    if record.state is HostState.UNAFFECTED:
        if before.state in (HostState.WAITING, HostState.DRAINING):  # fixed by somebody else
            draft.put_host(name, record.state, closed=False, choice=record.choice)
        return
    draft.put_host(name, choice=record.choice)
    wave = draft.wave(record.wave) if record.wave is not None else None
    if wave is not None and wave.late:
        _put_off(draft, record)
        return
    if record.state is HostState.BLOCKED:
        reason = reworded(draft, record.reason)
        draft.put_host(name, HostState.BLOCKED, closed=False, reason=reason, wave=record.wave)
        draft.say("blocked", f"{name}: {reason}", host=name)
        return
    patched = record.choice is not None and record.choice.way is Way.LIVEPATCH
    state = HostState.DRAINING if before.closed and not patched else HostState.WAITING
    draft.put_host(name, state, reason="", wave=record.wave)


def _put_off(draft: Draft, record: HostRecord) -> None:
    """It waits in the late wave, open for guests: nobody knows for how long."""
    was_there = draft.host(record.name).reason == record.reason
    draft.put_host(
        record.name, HostState.WAITING, closed=False, reason=record.reason, wave=record.wave
    )
    if not was_there:
        text = f"{record.name} to wave {record.wave}, the last: {record.reason}"
        draft.say("put_off", text, host=record.name)
