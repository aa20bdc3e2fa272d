"""Quarantined classes at the start of a rollout: its very first plan leaves their guests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.wire import Report
from scheduler.inventory import Inventory
from scheduler.rollout import GuestRecord
from scheduler.watched import UNKNOWN_CLASS, ClassMark


def left_alone(
    marks: Mapping[str, ClassMark], reports: Sequence[Report], inventory: Inventory
) -> dict[str, GuestRecord]:
    """Records of the guests of quarantined classes, by name."""
    resting = {mark.guest_class for mark in marks.values() if mark.quarantine}
    if not resting:
        return {}
    entries = {guest.name: guest for guest in inventory.guests}
    found = {}
    for report in reports:
        for guest in report.guests:
            entry = entries.get(guest.name)
            named = entry.guest_class if entry else None
            guest_class = named or guest.guest_class or UNKNOWN_CLASS
            if guest_class in resting:
                found[guest.name] = GuestRecord(
                    name=guest.name,
                    uuid=guest.uuid,
                    guest_class=guest_class,
                    host=report.host,
                    evacuation="give_up",
                    quarantine=guest_class,
                    owner=entry.owner if entry else "",
                    reason=f"class {guest_class} is quarantined",
                )
    return found
