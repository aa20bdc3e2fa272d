"""Notice to a guest and its owner before the guest is moved or shut down for a reboot. Pure.

With `notice_s` (the inventory's, kept in the rollout), no move and no shutdown is ordered before
its notice has been out for so long. It goes out when the step could start, or when the plan's clock
is near it, so that the time is not waited for at every step again. A guest is told once for each
move.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from agents.keys import keys
from agents.notices import Notice
from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.rollout import ENDED, Change, GuestRecord, RolloutState, Step, StepState
from scheduler.withheld import kept_back

TOLD = {Kind.MOVE: "move", Kind.STOP: "restart"}
KINDS = {
    RolloutState.RUNNING: (Kind.MOVE, Kind.STOP),
    # Before a new plan only hosts with guests that are down already are brought to their end.
    RolloutState.REPLANNING: (Kind.STOP,),
}
AHEAD = 1.5
"""The plan is looked ahead so many times `notice_s`: steps end earlier than planned, too."""
MOST_AT_ONCE = 500


def may_start(draft: Draft, step: Step) -> bool:
    """Whether the notice of this step, where one is due, has been out for long enough."""
    if not draft.rollout.notice_s or step.kind not in TOLD:
        return True
    told_at = told_of(draft.guest(step.guest or "", step.host))
    if told_at is None:
        return False
    return draft.now - told_at >= timedelta(seconds=draft.rollout.notice_s)


def told_of(guest: GuestRecord) -> datetime | None:
    """When it was told what comes next; None: not yet, or only of a move that is over."""
    return guest.notice_at if guest.notice_for == guest.moves + guest.restarts else None


def give(draft: Draft) -> None:
    """Tell guests whose turn comes soon."""
    lead_s = draft.rollout.notice_s
    kinds = KINDS.get(draft.rollout.state, ())
    if not lead_s or not kinds:
        return
    waiting = [s for s in _unfinished(draft) if s.state is StepState.WAITING and s.kind in kinds]
    if not waiting:
        return
    front_s = min(step.planned_start_s for step in _unfinished(draft))
    soon_s = front_s + AHEAD * lead_s
    due = [s for s in waiting if s.id in draft.book.ready or s.planned_start_s <= soon_s]
    due = [step for step in due if not kept_back(draft, step)]
    untold = [s for s in due if told_of(draft.guest(s.guest or "", s.host)) is None]
    untold.sort(key=lambda step: (step.planned_start_s, step.id))
    for step in untold[:MOST_AT_ONCE]:
        _tell(draft, step, max(lead_s, step.planned_start_s - front_s))


def _unfinished(draft: Draft) -> Iterable[Step]:
    return (draft.step(name) for name in draft.book.unfinished)


def _tell(draft: Draft, step: Step, wait_s: float) -> None:
    guest = draft.guest(step.guest or "", step.host)
    expected_at = draft.now + timedelta(seconds=wait_s)
    notice = Notice(
        guest=guest.name,
        action="move" if step.kind is Kind.MOVE else "restart",
        not_before=draft.now + timedelta(seconds=draft.rollout.notice_s),
        expected_at=expected_at,
    )
    told = guest.moves + guest.restarts
    draft.put_guest(guest.name, step.host, notice_at=draft.now, notice_for=told)
    draft.notices.append((step.host, guest.name, notice))
    what = f"moved to {step.destination}" if step.kind is Kind.MOVE else "restarted with its host"
    text = f"{guest.name} on {step.host} will be {what}, expected {expected_at:%H:%M:%S} UTC"
    draft.say("notice", text, step, due_at=expected_at)


def rows(change: Change) -> tuple[list[list[str]], list[list[str]]]:
    """The records to write, and keys and field of those to remove, as `store` has them."""
    keyed = [(keys.notices(host), guest, notice) for host, guest, notice in change.notices]
    given = [[key, guest, notice.model_dump_json()] for key, guest, notice in keyed if notice]
    return given, [[key, key, guest] for key, guest, notice in keyed if notice is None]


def lift(draft: Draft) -> None:
    """Take back the notices of what is over: steps that are done, or all when a rollout ends."""
    if not draft.rollout.notice_s:
        return
    for step in draft.steps.values():
        if step.kind in TOLD and step.state is StepState.DONE and step.guest:
            draft.notices.append((step.host, step.guest, None))
    if draft.rollout.state in ENDED and draft.book.rollout.state not in ENDED:
        told = [g for g in draft.book.guests.values() if g.notice_at is not None]
        draft.notices += [(guest.host, guest.name, None) for guest in told]
