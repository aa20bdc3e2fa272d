"""Which waiting steps start now: needs ended, limits kept, gates open; as orders for hosts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from agents.wire import Kind, Order
from scheduler import notice
from scheduler.comeback import remember
from scheduler.disk_gate import judged, questions, questions_ahead
from scheduler.draft import Draft
from scheduler.gate import Answer, Blame, Gate, Sight, check, moved_away
from scheduler.hooking import asks_first, empty_now, leaves_again
from scheduler.limits import Limits
from scheduler.livepatching import already_safe, gave_up, not_yet, patched
from scheduler.load import Load, load_of, waits_its_turn
from scheduler.move_limits import alarm_s
from scheduler.retries import rests
from scheduler.rollout import HostState, RolloutState, Step, StepState, attempt_id
from scheduler.wake_gate import another_copy, ends
from scheduler.withheld import withheld

AHEAD = 2
"""Moves of one source whose disks are looked at before their turn comes."""


def hand_out(draft: Draft, sight: Sight, limits: Limits) -> None:
    """Order every step that may start; say why where a gate holds one."""
    startable = draft.book.startable()
    load = load_of(draft, startable)
    for step in startable:
        if not _may_be_considered(draft, step):
            continue
        if withheld(draft, step):
            _not_held(draft, step)
            continue
        if waits_its_turn(draft, step, load):
            _not_held(draft, step)
            _look_ahead(draft, step, load, sight)
            continue
        if step.kind is Kind.START and not draft.guest(step.guest or "", step.host).down:
            moot(draft, step, f"{step.guest} was not shut down by this rollout")
            continue
        if not notice.may_start(draft, step):
            continue
        _ask_gates(draft, step, load, sight, limits)


def _ask_gates(draft: Draft, step: Step, load: Load, sight: Sight, limits: Limits) -> None:
    first = not_yet(draft, step) or already_safe(draft, step, sight)
    gate = first or check(step, sight, load.room_mib)
    if gate.answer is Answer.GO:
        gate = another_copy(draft, step, sight) or gate
    asked = questions(gate)
    draft.look_for(asked)
    if gate.answer is Answer.GO and (not _seen_afresh(draft, step, sight, limits) or asked):
        return
    if gate.answer is Answer.GO and asks_first(draft, step):
        empty_now(draft, step)
        return
    _answered(draft, step, judged(gate), load, sight, limits)


def _look_ahead(draft: Draft, step: Step, load: Load, sight: Sight) -> None:
    """Have the disks of the moves that come next looked at by the looks that their turn awaits.

    The look that settles one move is fresh enough to begin the next one on; without the answers
    for its disks in it, every move would wait for a look of its own.
    """
    if step.kind is not Kind.MOVE or load.next_up[step.host] >= AHEAD:
        return
    load.next_up[step.host] += 1
    draft.look_for_later(questions_ahead(check(step, sight, load.room_mib)))


def _seen_afresh(draft: Draft, step: Step, sight: Sight, limits: Limits) -> bool:
    """Whether every end was looked at a moment ago; else a look is asked for, and it waits."""
    old = [host for host in ends(draft, step) if sight.age_s(host) > limits.gate_look_s]
    draft.look(old)
    return not old


def _not_held(draft: Draft, step: Step) -> None:
    """Its turn has not come: what a gate said long ago does not count when it is asked again."""
    if step.held_since is not None:
        draft.put_step(step, held_since=None, reason="")


def _may_be_considered(draft: Draft, step: Step) -> bool:
    if rests(draft, step):
        return False
    state = draft.rollout.state
    if state is RolloutState.RUNNING or step.kind is Kind.MEND or step.parent is not None:
        return True
    # While running steps end before a new plan (or an abort), only what brings guests back starts.
    guests = (*draft.book.guests.values(), *draft.guests.values())
    down = any(g.down and g.host == step.host for g in guests)
    finishing = {Kind.STOP, Kind.REBOOT, Kind.START}
    if state is RolloutState.REPLANNING:
        return down and step.kind in finishing
    return state is RolloutState.ABORTING and step.kind is Kind.START


def _answered(
    draft: Draft, step: Step, gate: Gate, load: Load, sight: Sight, limits: Limits
) -> None:
    if gate.answer is Answer.GO:
        load.add(_order(draft, step, gate, sight, limits), draft.host(step.host).group)
    elif gate.answer is Answer.MOOT:
        moot(draft, step, gate.reason)
    elif gate.answer is Answer.DIFFERS:
        fail(draft, step, gate.reason)
    else:
        _hold(draft, step, gate, load, limits)


def moot(draft: Draft, step: Step, reason: str) -> None:
    """The step has nothing to do any more: it counts as done."""
    draft.put_step(step, StepState.DONE, outcome="moot", reason=reason, ended_at=draft.now)
    if step.kind is Kind.START and step.guest:
        draft.put_guest(step.guest, step.host, down=False)
    draft.say("moot", reason, step)
    if step.kind is Kind.LIVEPATCH:
        patched(draft, step)


def fail(draft: Draft, step: Step, reason: str) -> None:
    """The step cannot be done as planned: what is left has to be planned anew."""
    draft.put_step(step, StepState.FAILED, reason=reason, ended_at=draft.now)
    draft.say("failed", reason, step)


def _hold(draft: Draft, step: Step, gate: Gate, load: Load, limits: Limits) -> None:
    # What a clean-up or a comeback waits for is not its own parent, which is under way there.
    alone = step.parent is None or step.kind is Kind.RETUNE
    busy = alone and load.touched.intersection(step.hosts)
    if step.held_since is None or busy:
        if step.held_since is None or step.reason != gate.reason:
            draft.put_step(step, held_since=draft.now, reason=gate.reason)
            draft.say("held", gate.reason, step)
        return
    if draft.now - step.held_since > timedelta(seconds=limits.held_limit_s):
        _blame(draft, step, gate)
        fail(draft, step, f"held for too long: {gate.reason}")


def _blame(draft: Draft, step: Step, gate: Gate) -> None:
    """Make sure that the next plan does without what held this step."""
    if gate.blame is Blame.PAYLOAD:
        gave_up(draft, step, gate.reason)
    if step.guest is None or step.destination is None:
        return
    guest = draft.guest(step.guest, step.host)
    if gate.blame is Blame.GUEST:
        draft.put_guest(guest.name, step.host, evacuation="give_up", reason=gate.reason)
    elif gate.blame is Blame.DESTINATION:
        draft.put_guest(guest.name, step.host, avoid=(*guest.avoid, step.destination))


def _order(draft: Draft, step: Step, gate: Gate, sight: Sight, limits: Limits) -> Step:
    boot_id = gate.source.boot_id if gate.source else None
    room_mib = gate.guest.memory_mib + gate.guest.overhead_mib if gate.guest else 0
    ordered = draft.put_step(
        step,
        StepState.ORDERED,
        attempt=step.attempt + 1,
        ordered_at=draft.now,
        started_at=None,
        held_since=None,
        reason="",
        room_mib=room_mib,
        guest_disks=gate.guest.disks if gate.destination and gate.guest else None,
        guest_needs=gate.guest.needs if gate.destination and gate.guest else None,
        alarm_s=alarm_s(room_mib, draft.book, limits) if step.kind is Kind.MOVE else None,
        build_from=gate.source.build if gate.source else "",
        build_to=gate.destination.build if gate.destination else "",
        boot_id=boot_id if step.kind is Kind.REBOOT else None,
    )
    if gate.guest:
        draft.put_guest(
            gate.guest.name,
            step.host,
            uuid=gate.guest.uuid,
            guest_class=sight.named_class(gate.guest.name) or gate.guest.guest_class,
        )
    _mark_host(draft, ordered)
    leaves_again(draft, ordered)
    remember(draft, ordered, gate.source)
    draft.order(order_of(draft, ordered, sight, limits))
    return ordered


def _mark_host(draft: Draft, step: Step) -> None:
    host = draft.host(step.host)
    if step.kind is Kind.REBOOT:
        draft.put_host(host.name, HostState.REBOOTING, closed=True)
    elif host.state is HostState.WAITING and host.wave == step.wave:
        draft.put_host(host.name, HostState.DRAINING, closed=True)
        draft.say("draining", f"{host.name} is being emptied", host=host.name)


def order_of(draft: Draft, step: Step, sight: Sight, limits: Limits) -> Order:
    """The order for a step's newest attempt; the same step and attempt give the same order."""
    guest = draft.guest(step.guest, step.host) if step.guest else None
    facts: Mapping[str, object] = {
        "attempt_id": attempt_id(draft.rollout.id, step.id, step.attempt),
        "rollout_id": draft.rollout.id,
        "step_id": step.id,
        "epoch": draft.rollout.epoch,
        "kind": step.kind,
        "wave": step.wave or None,
        "host": step.host,
        "guest": step.guest,
        "guest_uuid": guest.uuid if guest else None,
        "guest_memory_mib": step.room_mib,
        "destination": step.destination,
        "guest_disks": step.guest_disks,
        "guest_needs": step.guest_needs,
        "destination_address": sight.address(step.destination) if step.destination else None,
        "boot_id": step.boot_id,
        "build_ids": draft.rollout.fixed_builds if step.kind is Kind.REBOOT else (),
        "mend": step.mend,
        "moved_away": moved_away(sight, step) if step.kind is Kind.REBOOT else (),
        "domid": step.domid,
        "payload": step.payload,
        "payload_sha256": step.payload_sha256,
        "tuning": step.tuning,
        "soft_deadline_s": step.alarm_s or limits.attempt_alarm_s,
    }
    return Order.model_validate(facts)
