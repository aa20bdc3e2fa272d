"""What a rollout does about guests that end after their move, and about classes of guests. Pure.

Called by `advance`; which guests ended, and which class is quarantined, comes in as events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.wire import Kind
from scheduler.budget import over_budget
from scheduler.draft import Draft
from scheduler.handout import fail
from scheduler.limits import Limits
from scheduler.monitors import WORDS
from scheduler.outcomes import stop
from scheduler.rollout import Hold, RolloutState, StepState

LEFT_ALONE = "is to be left alone (evacuation: hold)"
"""How a plan says of a guest that it blocks its host."""


@dataclass(frozen=True)
class GuestEnded:
    """A guest that this rollout moved ended while the move was soaking."""

    now: datetime
    guest: str
    host: str
    reason: str


@dataclass(frozen=True)
class Member:
    """A guest of a quarantined class."""

    name: str
    host: str
    owner: str


@dataclass(frozen=True)
class Quarantined:
    """Guests of a class must not be moved any more; those among them that are not noted yet."""

    now: datetime
    guest_class: str
    reason: str
    guests: tuple[Member, ...]
    hold: Hold | None = None  # the same reason, with since when and by whom


@dataclass(frozen=True)
class Released:
    """A person says that the class may be moved again."""

    now: datetime
    guest_class: str
    by: str
    reason: str


@dataclass(frozen=True)
class MonitorSeen:
    """Whether xl still watches a guest, where it did before."""

    now: datetime
    guest: str
    uuid: str
    host: str  # empty: it runs nowhere
    alone_since: datetime | None  # None: it does, or there is nothing to watch


CrashEvent = GuestEnded | Quarantined | Released | MonitorSeen


def take(draft: Draft, event: CrashEvent, limits: Limits) -> None:
    """Take such an event up; what is known already changes nothing."""
    if isinstance(event, GuestEnded):
        _ended(draft, event, limits)
    elif isinstance(event, Quarantined):
        _quarantine(draft, event)
    elif isinstance(event, MonitorSeen):
        _monitor(draft, event)
    else:
        _release(draft, event)


def _ended(draft: Draft, event: GuestEnded, limits: Limits) -> None:
    if draft.guest(event.guest, event.host).crashed:
        return
    draft.put_guest(event.guest, event.host, crashed=True, reason=event.reason)
    text = f"{event.guest} after its move: {event.reason}"
    draft.say("crashed", text, None, host=event.host, guest=event.guest)
    over = over_budget(draft, limits)
    if over:
        stop(draft, over)


def _monitor(draft: Draft, event: MonitorSeen) -> None:
    """Told, and shown while it lasts; nothing else comes of it: the guest runs and may be moved."""
    guest, host = event.guest, event.host
    record = draft.guest(guest, host)  # there is one, if the guest runs nowhere
    if record.alone_since == event.alone_since:
        return
    uuid = record.uuid or event.uuid
    draft.put_guest(guest, host, uuid=uuid, alone_since=event.alone_since)
    text = f"{guest} runs on {host}"
    if event.alone_since:
        draft.say("unmonitored", f"{text} {WORDS}", None, host=host, guest=guest)
    elif host:
        draft.say("monitored", f"{text} with xl's monitor again", None, host=host, guest=guest)


def _quarantine(draft: Draft, event: Quarantined) -> None:
    name = event.guest_class
    if name not in draft.rollout.quarantined:
        hold = event.hold or Hold(reason=event.reason, since=draft.now, by="xenroll")
        draft.put_rollout(
            quarantined=(*draft.rollout.quarantined, name),
            quarantines={**draft.rollout.quarantines, name: hold},
        )
        draft.say("quarantined", f"class {name}: {event.reason}")
    for guest in event.guests:
        # As one that cannot be moved: shut down for the reboot where its owner agreed to that.
        draft.put_guest(
            guest.name,
            guest.host,
            host=guest.host,
            guest_class=name,
            quarantine=name,
            owner=guest.owner,
            evacuation="give_up",
            reason=f"class {name} is quarantined",
        )
    fail_move_at_rest(draft)


def fail_move_at_rest(draft: Draft) -> None:
    """No guest of a quarantined class is moved: not one that came back from a try either.

    One step that cannot be done is enough for the rest to be planned anew; nothing is killed.
    """
    if not draft.rollout.quarantined:
        return
    known = draft.book.guests | draft.guests
    at_rest = {one.name: one.quarantine for one in known.values() if one.quarantine}
    for step_id in sorted(draft.book.unfinished) if at_rest else ():
        step = draft.step(step_id)
        waits = step.kind is Kind.MOVE and step.state is StepState.WAITING
        if waits and step.guest in at_rest:
            fail(draft, step, f"{step.guest}: class {at_rest[step.guest]} is quarantined")
            return


def _release(draft: Draft, event: Released) -> None:
    rollout, name = draft.rollout, event.guest_class
    draft.put_rollout(
        quarantined=tuple(one for one in rollout.quarantined if one != name),
        quarantines={one: hold for one, hold in rollout.quarantines.items() if one != name},
        replan_for=f"class {name} was released",
    )
    for guest in list(draft.book.guests.values()):
        if guest.quarantine == event.guest_class:
            draft.put_guest(guest.name, guest.host, evacuation=None, quarantine="", reason="")
    draft.say("released", f"class {event.guest_class} by {event.by}: {event.reason}")


def tend_classes(draft: Draft) -> None:
    """Guests that may be moved again unblock hosts: plan the rest anew as soon as it runs."""
    fail_move_at_rest(draft)
    why = draft.rollout.replan_for
    if not why:
        return
    if draft.rollout.state is RolloutState.RUNNING:
        hold = draft.held(why, "xenroll")
        draft.put_rollout(RolloutState.REPLANNING, hold=hold, replan_for="")
    elif draft.rollout.state is RolloutState.REPLANNING:
        draft.put_rollout(replan_for="")


def reworded(draft: Draft, reason: str) -> str:
    """Why a host is blocked, naming the quarantine instead of what the planner made of it."""
    for guest in draft.book.guests.values():
        if guest.quarantine and guest.name in reason:
            said = f"{guest.name}: {LEFT_ALONE}"
            reason = reason.replace(said, f"{guest.name}: class {guest.quarantine} is quarantined")
    return reason
