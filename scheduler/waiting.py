"""A rollout of which nothing is left but what hangs on silent hosts: it waits, and says so. Pure.

No plan has a place for such a move alone. What else waits is taken off the plan, hosts that nobody
can empty now are blocked with the reason, and the rollout goes on running: as soon as a host is
heard again, or a person says that it is dead, all of that is planned anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.aside import UNTOUCHED
from scheduler.draft import Draft
from scheduler.in_flight import frozen_moves, left_alone, only_frozen
from scheduler.late_wave import is_late, listed
from scheduler.outcomes import describe
from scheduler.rollout import Hold, HostState, RolloutState, StepState

BY = "silent hosts"
"""Who holds a rollout of which nothing is left but what hangs on them."""

DEAD = "xenroll rollout dead --host"
"""How a person says that a host's power is cut."""


@dataclass(frozen=True)
class OnlySilentLeft:
    """Nothing can be planned beside moves that hang on silent hosts."""

    now: datetime


def give_way(draft: Draft) -> None:
    """Take what waits off the plan: it is planned anew when a silent host is heard."""
    if draft.rollout.state is not RolloutState.REPLANNING or not only_frozen(draft.book):
        return
    waiting = [draft.step(name) for name in draft.book.unfinished - draft.book.under_way]
    for step in (*waiting, *(draft.step(name) for name in draft.book.failed)):
        draft.put_step(step, StepState.SKIPPED, reason=step.reason or "nothing can be planned now")
    alone = left_alone(draft.book)
    for name in draft.book.hosts:
        host = draft.host(name)
        if name not in alone and host.state in UNTOUCHED and not is_late(draft, name):
            reason = _why_not(draft, name)
            draft.put_host(name, HostState.BLOCKED, closed=False, reason=reason, wave=None)
            draft.say("blocked", f"{name}: {reason}", host=name)
    draft.put_rollout(RolloutState.RUNNING, hold=None)
    tend_waiting(draft)


def _why_not(draft: Draft, name: str) -> str:
    guests = (draft.guest(one.name, one.host) for one in draft.book.guests.values())
    known = [one.reason for one in guests if one.host == name and one.evacuation and one.reason]
    silent = sorted(host.name for host in draft.book.hosts.values() if host.aside)
    return "; ".join(known) or f"it cannot be emptied while {listed(silent)} cannot be seen"


def tend_waiting(draft: Draft) -> None:
    """Say of a running rollout that it waits for silent hosts alone, for which, and what helps."""
    if draft.rollout.state is not RolloutState.RUNNING:
        return
    text, since = _waits_for(draft)
    hold = draft.rollout.hold
    if not text or since is None:
        if hold is not None and hold.by == BY:
            draft.put_rollout(hold=None)
    elif hold is None or hold.reason != text:
        draft.put_rollout(hold=Hold(reason=text, since=since, by=BY))
        draft.say("waits", text)


def _waits_for(draft: Draft) -> tuple[str, datetime | None]:
    """For whom, and since when; empty: something else can still happen."""
    hosts = [draft.host(name) for name in sorted(draft.book.hosts)]
    moves = frozen_moves(draft.book)
    ends = {name for step in moves for name in step.hosts}
    silent = [one for one in hosts if one.aside and (one.name in ends or not one.left_out)]
    others = draft.book.unfinished - {step.id for step in moves}
    if not silent or others or any(step not in draft.book.steps for step in draft.steps):
        return "", None
    names = [one.name for one in silent]
    hanging = f", and on them hangs: {listed([describe(step) for step in moves])}" if moves else ""
    text = (
        f"only what waits for silent hosts is left: {listed(names)}{hanging}; it goes on when they "
        f"report, or if their power is cut: {DEAD} {names[0]}"
    )
    return text, min(one.silent_since or draft.now for one in silent)
