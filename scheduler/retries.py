"""How often a guest is tried, and when again: counted for the guest, not for a step of one plan.

A new plan makes new steps; what has failed before it is not forgotten with the old ones. Pure.
"""

from __future__ import annotations

from agents.settle import Verdict
from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.limits import Limits
from scheduler.rollout import Step, StepState


def failed_again(draft: Draft, step: Step, reason: str) -> int:
    """Note an attempt that changed nothing; how many in a row that makes."""
    if not step.guest or step.kind is Kind.RETUNE:
        return step.tries
    guest = draft.guest(step.guest, step.host)
    stayed = guest.stayed + 1
    if step.kind is not Kind.MOVE:
        draft.put_guest(guest.name, step.host, stayed=stayed, reason=reason)
        return step.tries
    failures = max(step.tries, guest.failures + 1)
    draft.put_guest(guest.name, step.host, stayed=stayed, reason=reason, failures=failures)
    return failures


def try_later(draft: Draft, step: Step, verdict: Verdict, failures: int, limits: Limits) -> None:
    """The same again after a while, which doubles with each failure; under a newer plan, too."""
    later = draft.now + limits.backoff(failures)
    draft.put_step(
        step,
        StepState.WAITING,
        outcome=str(verdict.outcome),
        reason=verdict.reason,
        not_before=later,
    )
    if step.guest and step.kind is Kind.MOVE:
        draft.put_guest(step.guest, step.host, rest_until=later)


def rests(draft: Draft, step: Step) -> bool:
    """Whether a step waits for its own back-off, or for that of its guest under an older plan."""
    if step.not_before is not None and draft.now < step.not_before:
        return True
    if step.kind is not Kind.MOVE or not step.guest:
        return False
    guest = draft.guests.get(step.guest) or draft.book.guests.get(step.guest)
    return guest is not None and guest.rest_until is not None and draft.now < guest.rest_until
