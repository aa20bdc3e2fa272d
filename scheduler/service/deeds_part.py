"""What people do to one wave or one host of a rollout; behind the API and the pages alike."""

from __future__ import annotations

from enum import StrEnum

from fastapi import Request

from scheduler.service.access import Caller, Role
from scheduler.service.deeds import WANTED, Action
from scheduler.service.parts import Service, check_role
from scheduler.service.problem import Problem, conflict, short
from scheduler.service.shapes import Accepted
from scheduler.wishes import Part, WishRefused, approve, wish


class PartAction(StrEnum):
    """What can be asked of a wave; of a host all but its approval."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


def check_part_role(who: Caller, action: str) -> None:
    """Raises Problem 403: approval is of the role security, all else of on-call."""
    check_role(who, Role.SECURITY if action == PartAction.APPROVE else Role.ON_CALL)


def act_on_part(
    parts: Service,
    request: Request,
    who: Caller,
    rollout_id: str,
    part: Part,
    action: str,
    reason: str,
) -> Accepted:
    """Write down what is wanted, in force at once, and who wanted it.

    Raises NoRollout, Problem 404 for an unknown part, 409 with the state that is in the way.
    """
    head = parts.store.head(rollout_id)
    entry = parts.note(request, who, action, f"{rollout_id}, {part}", reason)
    try:
        _write(parts, who, rollout_id, part, action, reason)
    except WishRefused as refused:
        why = short(str(refused))
        parts.audit.write(entry.model_copy(update={"outcome": f"refused: {why}"}))
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
    parts: Service, who: Caller, rollout_id: str, part: Part, action: str, reason: str
) -> None:
    now = parts.clock.now()
    if action == PartAction.APPROVE:
        approve(parts.store, rollout_id, part.wave or 0, who.name, reason, now)
    else:
        wish(parts.store, rollout_id, part, WANTED[Action(action)], who.name, reason, now)
