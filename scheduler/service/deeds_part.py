"""What people do to one wave or one host of a rollout; behind the API and the pages alike."""

from __future__ import annotations

from enum import StrEnum

from fastapi.responses import JSONResponse

from scheduler.service.access import Caller, Role
from scheduler.service.deed import Deed
from scheduler.service.deeds import WANTED, Action
from scheduler.service.parts import Service
from scheduler.service.problem import Problem, conflict, short
from scheduler.service.shapes import Accepted
from scheduler.wishes import Part, WishRefused, approve, say_dead, wish


class PartAction(StrEnum):
    """What can be asked of a wave, but not that it is dead; of a host all but its approval."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    DEAD = "dead"


def act_on_part(
    deed: Deed, rollout_id: str, part: Part, action: PartAction, reason: str
) -> JSONResponse:
    """Write down what is wanted, in force at once, and who wanted it; 202 where it stands.

    Raises NoRollout, Problem 403, 404 for an unknown part, 409 with the state that is in the way.
    """
    deed.needs(Role.SECURITY if action is PartAction.APPROVE else Role.ON_CALL)
    asked = f"{rollout_id} {part.field} {action} {reason}"
    return deed.once(asked, lambda: _act(deed, rollout_id, part, action, reason))


def _act(deed: Deed, rollout_id: str, part: Part, action: PartAction, reason: str) -> Accepted:
    head = deed.parts.store.head(rollout_id)
    entry = deed.note(action, f"{rollout_id}, {part}", reason)
    try:
        _write(deed.parts, deed.who, rollout_id, part, action, reason)
    except WishRefused as refused:
        why = short(str(refused))
        deed.refused(entry, why)
        if refused.code in ("no_wave", "no_host"):
            raise Problem(404, "not_found", why) from None
        raise conflict(refused.code, why, [("state", str(head.state))]) from None
    return Accepted(
        rollout=head.id,
        part=str(part),
        action=action,
        state=head.state,
        href=f"/api/v1/rollouts/{head.id}/progress",
    )


def _write(
    parts: Service, who: Caller, rollout_id: str, part: Part, action: PartAction, reason: str
) -> None:
    now = parts.clock.now()
    if action is PartAction.APPROVE:
        approve(parts.store, rollout_id, part.wave or 0, who.name, reason, now)
    elif action is PartAction.DEAD:
        say_dead(parts.store, rollout_id, part.host or "", who.name, reason, now)
    else:
        wish(parts.store, rollout_id, part, WANTED[Action(action)], who.name, reason, now)
