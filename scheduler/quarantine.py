"""Quarantined classes at the start of a rollout: its very first plan leaves their guests alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from agents.wire import GuestSeen, Report
from scheduler.inventory import GuestEntry, Inventory
from scheduler.rollout import GuestRecord, Hold
from scheduler.watched import UNKNOWN_CLASS, ClassMark, covers


@dataclass(frozen=True)
class AtRest:
    """Guests that must not be moved, by name; why each of their classes must not, by its name."""

    guests: dict[str, GuestRecord] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)


def left_alone(
    marks: Mapping[str, ClassMark], reports: Sequence[Report], inventory: Inventory
) -> AtRest:
    """The guests of quarantined classes on these hosts."""
    resting = {mark.guest_class: mark.quarantine for mark in marks.values() if mark.quarantine}
    if not resting:
        return AtRest()
    entries = {guest.name: guest for guest in inventory.guests}
    seen = ((guest, report.host) for report in reports for guest in report.guests)
    records = (_record(guest, host, entries.get(guest.name), resting) for guest, host in seen)
    guests = {one.name: one for one in records if one.quarantine}
    there = {one.quarantine for one in guests.values()}
    return AtRest(guests, {name: resting[name] for name in sorted(there)})


def _record(
    guest: GuestSeen, host: str, entry: GuestEntry | None, resting: Collection[str]
) -> GuestRecord:
    named = entry.guest_class if entry else None
    guest_class = named or guest.guest_class or UNKNOWN_CLASS
    marked = next((name for name in sorted(resting) if covers(name, guest_class)), "")
    return GuestRecord(
        name=guest.name,
        uuid=guest.uuid,
        guest_class=guest_class,
        host=host,
        evacuation="give_up",
        quarantine=marked,
        owner=entry.owner if entry else "",
        reason=f"class {marked} is quarantined",
    )
