"""Guests that stand still in a move: suspended at the source, and running nowhere yet. Pure.

Every live migration has such a moment; xl ends it, and nothing here ever does: killing a transport
then is what strands a guest. One that lasts too long is said, and shown for as long as it lasts.
Seen in the reports of both hosts, so it is counted from a report on, not from the very moment.
"""

from __future__ import annotations

from datetime import datetime

from agents.copies import Condition, Role, copies
from agents.wire import Kind, Report
from scheduler.draft import Draft
from scheduler.frozen import Frozen
from scheduler.gate import Sight
from scheduler.limits import Limits
from scheduler.move_limits import suspended_limit_s
from scheduler.rollout import Step


class Standstill(Frozen):
    """A guest that stands still now. Times in seconds."""

    since: datetime  # when the controller first saw it so
    for_s: float
    overdue: bool  # for longer than it should: there is an alarm


def standstill(step: Step, now: datetime) -> Standstill | None:
    """What anybody is shown of a step's guest; None while it runs."""
    since = step.suspended_since
    if since is None:
        return None
    for_s = (now - since).total_seconds()
    return Standstill(since=since, for_s=for_s, overdue=step.suspended_alarm)


def follow(draft: Draft, sight: Sight, limits: Limits) -> None:
    """Note which guests under way stand still, say which do so for too long, and that it is over.

    A source that cannot be seen changes nothing; a destination that cannot be seen runs nobody.
    """
    for running in draft.book.running():
        step = draft.step(running.id)
        source = sight.report(step.host)
        if step.kind is not Kind.MOVE or not isinstance(source, Report):
            continue
        stands = _stands_still(draft, step, source, sight.report(step.destination or ""))
        if not stands:
            over(draft, step)
        elif step.suspended_since is None:
            draft.put_step(step, suspended_since=draft.now)
        else:
            _say(draft, step, limits)


def _stands_still(draft: Draft, step: Step, source: Report, there: Report | str) -> bool:
    guest = step.guest or ""
    uuid = draft.guest(guest, step.host).uuid or ""
    here = copies(source.domains, guest, uuid)
    if not any(copy.condition is Condition.SUSPENDED for copy in here):
        return False
    arrived = copies(there.domains, guest, uuid) if isinstance(there, Report) else []
    return not any(c.role is Role.OWN and c.condition is Condition.RUNS for c in arrived)


def _say(draft: Draft, step: Step, limits: Limits) -> None:
    assert step.suspended_since is not None
    for_s = (draft.now - step.suspended_since).total_seconds()
    limit_s = suspended_limit_s(step, draft.book, limits)
    if step.suspended_alarm or for_s <= limit_s:
        return
    draft.put_step(step, suspended_alarm=True)
    text = (
        f"{step.guest} is suspended on {step.host} for more than {limit_s:.0f} s,"
        f" and does not run on {step.destination}"
    )
    draft.say("suspended", text, step)


def over(draft: Draft, step: Step) -> Step:
    """It stands still no longer, or its move has ended; the step as it is now."""
    if step.suspended_since is None:
        return step
    if step.suspended_alarm:
        for_s = (draft.now - step.suspended_since).total_seconds()
        draft.say("awake", f"{step.guest} stood still for about {for_s:.0f} s", step)
    return draft.put_step(step, suspended_since=None, suspended_alarm=False)
