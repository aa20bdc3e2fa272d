"""`/api/v1/rollouts/ID/waves/N/actions/…` and `…/hosts/NAME/actions/…`: parts of a rollout."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from agents.wire import Wanted
from scheduler.service.access import Caller, Role
from scheduler.service.api_rollouts import Id
from scheduler.service.deeds import WANTED, Action
from scheduler.service.parts import OnCall, Parts, Service, check_role
from scheduler.service.problem import Problem, conflict, short
from scheduler.service.repeat import IdempotencyKey, Once
from scheduler.service.shapes import Accepted, ActionBody
from scheduler.wishes import Part, WishRefused, approve, wish

router = APIRouter(tags=["changes"])

Wave = Annotated[int, Path(ge=1, le=1_000_000)]
HostName = Annotated[str, Path(max_length=255)]


class WaveAction(StrEnum):
    """What can be asked of a wave."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


class HostAction(StrEnum):
    """What can be asked of a host of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@router.post(
    "/rollouts/{rollout_id}/waves/{wave}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_wave(
    rollout_id: Id,
    wave: Wave,
    action: WaveAction,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Pause, resume or abort one wave, in force at once; approve one (the role security)."""
    if action is WaveAction.APPROVE:
        check_role(who, Role.SECURITY)
    asked = _Asked(parts, request, who, rollout_id, Part(wave=wave), action, body.reason)
    return asked.once(idempotency_key)


@router.post(
    "/rollouts/{rollout_id}/hosts/{name}/actions/{action}",
    status_code=202,
    response_model=Accepted,
)
def act_on_host(
    rollout_id: Id,
    name: HostName,
    action: HostAction,
    body: ActionBody,
    request: Request,
    who: OnCall,
    parts: Parts,
    idempotency_key: IdempotencyKey,
) -> JSONResponse:
    """Pause, resume or abort one host, in force at once; aborted, the rollout leaves it out."""
    asked = _Asked(parts, request, who, rollout_id, Part(host=name), action, body.reason)
    return asked.once(idempotency_key)


class _Asked:
    """One action on a part of a rollout."""

    def __init__(
        self,
        parts: Service,
        request: Request,
        who: Caller,
        rollout_id: str,
        part: Part,
        action: StrEnum,
        reason: str,
    ) -> None:
        self.parts, self.request, self.who = parts, request, who
        self.rollout_id, self.part, self.action, self.reason = rollout_id, part, action, reason

    def once(self, key: str) -> JSONResponse:
        """Do it, or answer again what was answered to the same key."""
        asked = f"{self.rollout_id} {self.part.field} {self.action} {self.reason}"
        return Once(self.parts.store.client, self.who.token_id).act(key, asked, self._do)

    def _do(self) -> JSONResponse:
        """Raises NoRollout, Problem 404 for an unknown part, 409 with what is in the way."""
        head = self.parts.store.head(self.rollout_id)
        target = f"{self.rollout_id}, {self.part}"
        entry = self.parts.note(self.request, self.who, str(self.action), target, self.reason)
        try:
            self._write()
        except WishRefused as refused:
            why = short(str(refused))
            self.parts.audit.write(entry.model_copy(update={"outcome": f"refused: {why}"}))
            if refused.code in ("no_wave", "no_host"):
                raise Problem(404, "not_found", why) from None
            raise conflict(refused.code, why, [("state", str(head.state))]) from None
        said = Accepted(
            rollout=head.id,
            part=str(self.part),
            action=str(self.action),
            state=head.state,
            href=f"/api/v1/rollouts/{head.id}/progress",
        )
        return JSONResponse(said.model_dump(mode="json"), 202, {"Location": said.href})

    def _write(self) -> None:
        store, now, by = self.parts.store, self.parts.clock.now(), self.who.name
        if self.action == WaveAction.APPROVE:
            approve(store, self.rollout_id, self.part.wave or 0, by, self.reason, now)
            return
        wanted: Wanted = WANTED[Action(self.action)]
        wish(store, self.rollout_id, self.part, wanted, by, self.reason, now)
