"""A person says that a silent host is dead: its power is cut, and nothing runs on it. Pure.

What no program can know of a host that does not answer, a person can: with it, moves that hang on
the host are told from their other end alone. Nothing is planned for it any more in this rollout.
Where the word was wrong and the host is heard again, the word counts no more, and all stops.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.wire import Kind, Report
from scheduler.book import Book
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.outcomes import describe, stop
from scheduler.rollout import (
    UNDER_WAY,
    Hold,
    HostState,
    RolloutState,
    Step,
    StepState,
    attempt_id,
)

STAYS = frozenset({HostState.FIXED, HostState.UNAFFECTED, HostState.OPENED})
SAYS_DEAD = "is dead, says"
"""What every event of this word has between the host and the person."""


def take_for_dead(draft: Draft, name: str, said: Hold) -> None:
    """Go on without this host, and let what hangs on it be told from what can be seen."""
    host = draft.host(name)
    reason = f"{name} {SAYS_DEAD} {said.by}: {said.reason}"
    silence = {"silent": "", "silent_since": None, "aside": None}
    draft.put_host(
        name,
        None if host.state in STAYS else HostState.BLOCKED,
        closed=False,
        lost=True,
        dead=said,
        stopped=None,
        reason=reason,
        **silence,
    )
    draft.say("lost", reason, host=name)
    for step_id in sorted(draft.book.unfinished):
        if draft.step(step_id).host == name:
            _end(draft, draft.step(step_id), reason)
    _leave_down(draft, name)
    if draft.rollout.state in (RolloutState.RUNNING, RolloutState.REPLANNING):
        draft.put_rollout(replan_for=reason)


def _end(draft: Draft, step: Step, reason: str) -> None:
    """A move is told from its other end; whatever else was to be done there is not done."""
    if step.kind is Kind.MOVE and step.state in UNDER_WAY:
        if step.state in (StepState.ORDERED, StepState.RUNNING):
            draft.put_step(step, StepState.SETTLING, held_since=None)
        return
    if step.state in UNDER_WAY:
        draft.drop(step.host, attempt_id(draft.rollout.id, step.id, step.attempt))
    if step.state is StepState.WAITING and step.kind is not Kind.START and step.parent is None:
        return  # the newer plan, or the abort, takes it off
    draft.put_step(step, StepState.FAILED, reason=reason, ended_at=draft.now)
    draft.say("failed", f"{describe(step)}: {reason}", step)


def _leave_down(draft: Draft, name: str) -> None:
    """Guests that were shut down there: a person starts them where their disks are."""
    for guest in list(draft.book.guests.values()):
        if not guest.down or guest.host != name:
            continue
        reason = f"it was shut down on {name}, which is dead: a person has to start it elsewhere"
        draft.put_guest(guest.name, name, down=False, evacuation="give_up", reason=reason)
        draft.say("alarm", f"{guest.name}: {reason}", host=name, guest=guest.name)


def tend_dead(draft: Draft, sight: Sight) -> None:
    """A host that reports after it was said to be dead: what was judged by that may be wrong."""
    for name, known in draft.book.hosts.items():
        if not known.dead or known.undead or not isinstance(sight.report(name), Report):
            continue
        heard = f"{name} reports, though {known.dead.by} said that it is dead"
        reason = (
            f"{heard}: guests that hung on it may run twice; evidence: xenroll guest evidence GUEST"
        )
        draft.put_host(name, undead=True, reason=f"{heard}: this rollout goes on without it")
        draft.say("alarm", reason, host=name)
        stop(draft, reason)


def told_dead(book: Book, step: Step, newest: Callable[[str], Report | None]) -> dict[str, Report]:
    """Those of a step's hosts that a person says are dead, as if looked at; `newest`: reports."""
    names = [name for name in step.hosts if name in book.hosts and book.hosts[name].is_dead]
    return {name: _emptied(last) for name in names if (last := newest(name)) is not None}


def _emptied(report: Report) -> Report:
    """What a dead host would show: it is what it was, and nothing is there any more."""
    nothing = {"domains": (), "guests": (), "leftovers": (), "attempts": (), "receiving": 0}
    return report.model_copy(update=nothing)
