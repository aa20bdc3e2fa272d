"""What people can do to a rollout, behind both the API and the pages."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from pydantic import ValidationError

from agents.wire import Wanted
from scheduler.advisory import Advisory
from scheduler.approval import same_person
from scheduler.fleet_view import FleetDoubt
from scheduler.inventory import InventoryError, load_inventory
from scheduler.launch import Draw, Wish, begin, draw
from scheduler.planned import blocked_reasons
from scheduler.planning import PlanBroken
from scheduler.rollout import ENDED, Rollout, RolloutState
from scheduler.service.access import Caller, Role
from scheduler.service.deed import Deed
from scheduler.service.parts import Service
from scheduler.service.problem import Problem, conflict, short
from scheduler.service.shapes import Accepted, ChoiceCount, StartBody, Started
from scheduler.store import Conflict, Taken

SHOWN_PROBLEMS = 100
BLOCKED = (
    "nothing was started: some hosts are blocked; "
    "accept_blocked (--accept-blocked) starts it for the rest"
)


class Action(StrEnum):
    """What can be asked of a rollout that was written down."""

    START = "start"  # let one begin that waits
    APPROVE = "approve"  # the same, by somebody else than who made it
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


FIRST = (Action.START, Action.APPROVE)
WANTED = {
    Action.START: Wanted.RUN,
    Action.APPROVE: Wanted.RUN,
    Action.PAUSE: Wanted.PAUSE,
    Action.RESUME: Wanted.RUN,
    Action.ABORT: Wanted.ABORT,
}


def want(deed: Deed, rollout_id: str, action: Action, reason: str) -> Accepted:
    """Write down what a person wants; hosts obey at once. Raises NoRollout, Problem 403, 409."""
    if action in FIRST:
        deed.needs(Role.SECURITY)
    store, now = deed.parts.store, deed.parts.clock.now()
    head = store.head(rollout_id)
    check_sense(head, action, store.control(rollout_id).get("wanted", ""))
    if head.state is RolloutState.AWAITING:
        _check_first_word(deed, head, action, reason)
    deed.note(str(action), rollout_id, reason)
    if not store.want(rollout_id, WANTED[action], deed.who.name, reason, now):
        raise _aborted_already(head)
    return Accepted(
        rollout=rollout_id,
        action=str(action),
        state=head.state,
        href=f"/api/v1/rollouts/{rollout_id}",
    )


def check_sense(head: Rollout, action: Action, wanted_now: str) -> None:
    """Refuse what makes no sense in this state. Raises Problem 409 that names the state."""
    state = [("state", str(head.state)), ("wanted", wanted_now)]
    if head.state in ENDED:
        said = f"rollout {head.id} has ended ({head.state}): there is nothing to {action}"
        raise conflict("ended", said, state)
    if wanted_now == Wanted.ABORT:
        raise _aborted_already(head)
    first, awaits = action in FIRST, head.state is RolloutState.AWAITING
    if first != awaits and action is not Action.ABORT:
        said = f"rollout {head.id} is {head.state}: there is nothing to {action}"
        raise conflict("awaiting" if awaits else "not_awaiting", said, state)
    if action is Action.PAUSE and wanted_now == Wanted.PAUSE:
        raise conflict("already", f"rollout {head.id} is paused already", state)
    waits = (RolloutState.PAUSED, RolloutState.STOPPED)
    if action is Action.RESUME and wanted_now == Wanted.RUN and head.state not in waits:
        said = f"rollout {head.id} is {head.state}: there is nothing to resume"
        raise conflict("not_paused", said, state)


def _check_first_word(deed: Deed, head: Rollout, action: Action, reason: str) -> None:
    """Whether this person may let it begin, this way. Raises Problem 409; a refusal is audited."""
    who = deed.who
    state = [("state", str(head.state)), ("created_by", head.created_by)]
    if action is Action.START and head.second_person:
        refusal = conflict("needs_approval", f"rollout {head.id} needs to be approved", state)
    elif action is Action.APPROVE and not head.second_person:
        refusal = conflict("needs_none", f"rollout {head.id} needs no approval: start it", state)
    elif action is Action.APPROVE and same_person(who.name, head):
        said = f"{who.name} started rollout {head.id}: somebody else has to approve it"
        refusal = conflict("same_person", said, state)
    else:
        return
    deed.refused(deed.note(str(action), head.id, reason), refusal.detail)
    raise refusal


def _aborted_already(head: Rollout) -> Problem:
    said = f"rollout {head.id} is being aborted, which cannot be taken back"
    return conflict("aborting", said, [("state", str(head.state)), ("wanted", "abort")])


def start(deed: Deed, body: StartBody) -> Started:
    """Look at every host, plan, and write the rollout down. Raises Problem 409 with names."""
    parts = deed.parts
    drawn = _draw(parts, body, deed.who)
    blocked = blocked_reasons(drawn.planned.plan, drawn.at_rest.guests, drawn.obstacles)
    if body.dry_run:
        return _started(drawn, None, blocked)
    if blocked and not body.accept_blocked:
        raise conflict("blocked", BLOCKED, _shown(blocked))
    deed.note("start", ", ".join(body.advisories), body.reason)
    try:
        rollout = begin(parts.store, drawn, waits=body.wait, second_person=parts.two_people)
    except (Taken, Conflict) as error:
        raise conflict("taken", f"nothing was started: {short(str(error))}") from None
    return _started(drawn, rollout, blocked)


def _draw(parts: Service, body: StartBody, who: Caller) -> Draw:
    raw = parts.store.inventory()
    if raw is None:
        raise conflict("no_inventory", "there is no inventory; `xenroll inventory apply FILE`")
    known = parts.store.advisories()
    chosen = tuple(_advisory(parts, name, body) for name in body.advisories)
    wish = Wish(
        advisory=", ".join(body.advisories),
        advisories=chosen,
        others=tuple(one for name, one in known.items() if name not in {a.id for a in chosen}),
        livepatch=body.livepatch,
        soak_s=body.soak_s,
        approval=body.approval,
        fixed_builds=tuple(body.fixed_builds),
        by=who.name,
        xen_after=body.xen_after,
        without_hosts=tuple(body.without_hosts),
        reason=body.reason,
    )
    try:
        return draw(parts.store.client, load_inventory(raw), wish, parts.look_wait_s)
    except FleetDoubt as doubt:
        details = [("fleet", short(line)) for line in doubt.problems[:SHOWN_PROBLEMS]]
        said = f"nothing was started: {short(doubt.problems[0])}"
        raise conflict("fleet_doubt", said, details) from None
    except InventoryError as error:
        raise conflict("bad_inventory", short(error.problems[0])) from None
    except PlanBroken as broken:
        said = f"nothing was started; the checker refuses the plan: {short(str(broken))}"
        raise Problem(500, "plan_broken", said) from None


def _advisory(parts: Service, name: str, body: StartBody) -> Advisory:
    """The advisory as it is known, with the builds given here. Raises Problem 422."""
    known = parts.store.advisories()
    now = parts.clock.now()
    shown = {one.shown(now, knows=True): one for one in known.values()}
    found = shown.get(name)
    try:
        facts = found.model_dump() if found else {"id": name}
        builds = [*(found.fixed_builds if found else ()), *body.fixed_builds]
        full = Advisory.model_validate(facts | {"fixed_builds": builds})
    except ValidationError as error:
        first = error.errors()[0]
        said = f"advisory {short(name)}: {first['loc'][0]}: {first['msg']}"
        raise Problem(422, "invalid", said, [("body.advisory", said)]) from None
    if not full.can_be_fixed:
        said = f"nothing says what a host fixed for {name} looks like: give fixed_builds"
        raise Problem(422, "invalid", said, [("body.fixed_builds", said)])
    return full


def _shown(blocked: dict[str, str]) -> list[tuple[str, str]]:
    return [(host, short(why)) for host, why in sorted(blocked.items())[:SHOWN_PROBLEMS]]


def _started(drawn: Draw, rollout: Rollout | None, blocked: dict[str, str]) -> Started:
    summary = drawn.planned.plan.summary
    return Started(
        rollout=rollout.id if rollout else None,
        state=rollout.state if rollout else None,
        second_person=rollout is not None and rollout.second_person,
        hosts_in_scope=len(drawn.hosts),
        moves=summary.moves,
        moves_lower_bound=summary.moves_lower_bound,
        makespan_s=summary.makespan_s,
        makespan_lower_bound_s=summary.makespan_lower_bound_s,
        hosts_rebooted=summary.hosts_rebooted,
        blocked=blocked,
        choices=_choices(drawn),
    )


def _choices(drawn: Draw) -> list[ChoiceCount]:
    counted = Counter((one.way, one.reason) for one in drawn.planned.choices.values())
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return [ChoiceCount(way=way, reason=short(why), hosts=n) for (way, why), n in ordered]
