"""What a report shows of a domain: which one it is, and why it ended. Pure."""

from __future__ import annotations

from agents.copies import Condition, condition
from agents.wire import GuestSeen, Report
from scheduler.watched import Cause, Life

CAUSES = {0: Cause.SHUT_DOWN, 1: Cause.REBOOTED, 3: Cause.CRASHED, 4: Cause.CRASHED}
"""Xen's reasons of a shutdown (its public/sched.h): off, reboot, (2: suspend), crash, watchdog."""

WORDS = {
    Cause.SHUT_DOWN: "it was shut down from inside",
    Cause.REBOOTED: "it rebooted itself",
    Cause.CRASHED: "its kernel crashed",
}


def is_domain(life: Life | None, report: Report, guest: GuestSeen) -> bool:
    """Whether this is the same domain."""
    return life is not None and (life.boot_id, life.domid) == (report.boot_id, guest.domid)


def shown(state: str) -> Cause | None:
    """What the letters of `xl list` say of the end; None while it lives."""
    found = condition(state)
    if found is Condition.CRASHED:
        return Cause.CRASHED
    if found is Condition.SHUT_DOWN:
        return Cause.REBOOTED if state[4:5] == "r" else Cause.SHUT_DOWN
    return None


def life_of_domain(guest: GuestSeen, report: Report, guest_class: str) -> Life:
    """The life of the domain that this report shows of a guest."""
    return Life(
        name=guest.name,
        uuid=guest.uuid,
        boot_id=report.boot_id,
        domid=guest.domid,
        guest_class=guest_class,
    )


def ending_id(life: Life) -> str:
    """One domain ends once: UUID, boot and domid name its ending."""
    return f"{life.uuid}.{life.boot_id}.{life.domid}"
