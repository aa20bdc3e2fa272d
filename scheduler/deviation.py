"""Where the world has left the plan: foreign guests on closed hosts, hosts lost in a reboot. Pure.

A deviation that can be planned around makes the rest be planned anew while everything else goes
on; what it is a doubt about stops the rollout as before.
"""

from __future__ import annotations

from agents.wire import Kind, Report
from scheduler.comeback import LACKING
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.in_flight import left_alone
from scheduler.limits import Limits
from scheduler.outcomes import describe, stop
from scheduler.rollout import HostRecord, HostState, RolloutState, Step, StepState, attempt_id
from scheduler.standstill import follow
from scheduler.waiting import DEAD


def foreign_arrivals(draft: Draft, sight: Sight) -> str:
    """A guest on a closed host that no step takes away, in words; empty: there is none.

    Whether somebody started it there, moved it there, or it appeared between the plan and the
    host's closing: it has to be planned away, or the host would never be empty.
    """
    alone = left_alone(draft.book)  # until a silent host is heard: no plan could take it away
    closed = [h for h in draft.book.hosts.values() if _is_emptied(h) and h.name not in alone]
    if not closed or draft.rollout.state is not RolloutState.RUNNING:
        return ""
    for host in closed:
        report = sight.report(host.name)
        seen = {guest.name for guest in report.guests} if isinstance(report, Report) else set()
        strangers = sorted(seen - _leaving(draft, host.name)) if seen else []
        if strangers:
            names = ", ".join(strangers[:5])
            text = f"{names} appeared on {host.name}, which is closed: planned away"
            draft.say("arrival", text, host=host.name, guest=strangers[0])
            return text
    return ""


def _is_emptied(host: HostRecord) -> bool:
    return host.state is HostState.DRAINING and host.closed and host.left_out is None


def _leaving(draft: Draft, host: str) -> set[str]:
    """Guests that a step still to end takes off this host, or that are just arriving there."""
    steps = [draft.step(name) for name in draft.book.open_at.get(host, ())]
    return {
        step.guest
        for step in steps
        if step.guest is not None
        and step.kind is not Kind.MEND
        and (step.host == host or step.id in draft.book.under_way)
    }


def overdue(draft: Draft, sight: Sight, limits: Limits) -> None:
    """Say what runs, or stands still, for too long; a host that does not come back is a doubt.

    Nothing is killed.
    """
    for step in draft.book.running():
        # A host that goes down at once never said that it began.
        ordered = step.ordered_at if step.kind is Kind.REBOOT else None
        began = step.held_since or step.started_at or ordered
        if step.state is StepState.ORDERED and step.kind is not Kind.REBOOT:
            _not_taken_up(draft, step, limits)
        if began is None or not _goes_on(step):
            continue
        ran_s = (draft.now - began).total_seconds()
        if step.kind is Kind.REBOOT and ran_s > limits.reboot_limit_s:
            if not _lose(draft, step, sight, limits):
                stop(draft, _not_back(step, sight))
        elif ran_s > (limit_s := step.alarm_s or limits.attempt_alarm_s) and not step.reason:
            reason = f"{describe(step)} has run for more than {limit_s:.0f} s"
            draft.put_step(step, reason=reason)
            draft.say("alarm", reason, step)
    follow(draft, sight, limits)


def _goes_on(step: Step) -> bool:
    """Whether its host is still to do something: also one that was told to reboot, and did not."""
    if step.kind is Kind.REBOOT and step.state is StepState.SETTLING:
        return step.outcome != LACKING  # it is back, and has a limit of its own
    return step.state in (StepState.ORDERED, StepState.RUNNING)


def _not_back(step: Step, sight: Sight) -> str:
    if step.state is StepState.SETTLING and isinstance(sight.report(step.host), Report):
        return f"{describe(step)}: nobody can tell how it ended: {step.reason}"
    way = f"look at its console; if its power is cut: {DEAD} {step.host}"
    return f"{step.host} has not come back from its reboot: {way}"


def _not_taken_up(draft: Draft, step: Step, limits: Limits) -> None:
    """An order that its host does not begin with: its workers may be dead while it reports."""
    waited_s = (draft.now - (step.ordered_at or draft.now)).total_seconds()
    if waited_s > limits.held_limit_s and not step.reason:
        reason = f"{step.host} has not taken up: {describe(step)}"
        draft.put_step(step, reason=reason)
        draft.say("alarm", reason, step)


def _lose(draft: Draft, step: Step, sight: Sight, limits: Limits) -> bool:
    """Go on without a host that does not come back from its reboot, where the policy allows it.

    Not where it reports (then something else is wrong), nor where guests of this rollout are shut
    down on it: these are doubts. An abort is not kept from its end by a host that is gone.
    """
    lost = [host for host in (draft.host(name) for name in draft.book.hosts) if host.lost]
    aborting = draft.rollout.state is RolloutState.ABORTING
    if not aborting and len(lost) >= limits.max_lost_hosts:
        return False
    guests = (draft.guest(name, step.host) for name in draft.book.guests)
    waits = any(guest.down and guest.host == step.host for guest in guests)
    if waits or isinstance(sight.report(step.host), Report):
        return False
    reason = f"{step.host} has not come back from its reboot: somebody has to look after it"
    draft.put_step(step, StepState.FAILED, reason=reason, ended_at=draft.now)
    draft.drop(step.host, attempt_id(draft.rollout.id, step.id, step.attempt))
    draft.put_host(step.host, HostState.BLOCKED, closed=False, lost=True, reason=reason)
    draft.say("lost", reason, step)
    return True


def is_cut_off(draft: Draft, step: Step) -> bool:
    """Whether a step of this plan can never start: something that it needs has failed."""
    return any(
        draft.step(need).state in (StepState.FAILED, StepState.SKIPPED) for need in step.needs
    )
