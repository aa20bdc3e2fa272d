"""What an attempt came to, from what its hosts show after it ended. Pure.

The caller guarantees that every report began after the attempt was known to have ended.
"""

from __future__ import annotations

from agents.copies import Condition, Copy, Role, copies, strangers
from agents.retune import settle_retune, with_retune
from agents.settle_common import early, failure, unknown
from agents.settle_move import make_case, settle_case
from agents.verdict import Mend, Outcome, Retry, Verdict
from agents.wire import Attempt, AttemptState, MendAction, Order, Report

__all__ = [
    "Mend",
    "Outcome",
    "Retry",
    "Verdict",
    "settle_livepatch",
    "settle_mend",
    "settle_move",
    "settle_reboot",
    "settle_retune",
    "settle_revert",
    "settle_start",
    "settle_stop",
]


def settle_move(
    order: Order,
    attempt: Attempt,
    source: Report,
    destination: Report,
    *,
    never_ran: bool = False,
) -> Verdict:
    """How a migration ended; `source` and `destination` are newer than its end.

    `never_ran`: its copy at the destination was seen not to have run, and was destroyed for that.
    """
    unclear = early(attempt, source, destination)
    if unclear:
        return unclear
    if source.host != order.host or destination.host != order.destination:
        return unknown("the reports are not of the two hosts of this move")
    verdict = settle_case(make_case(order, attempt, source, destination, never_ran))
    return with_retune(verdict, order, attempt, destination)


def _one_copy(order: Order, report: Report) -> tuple[Copy | None, Verdict | None]:
    """The guest's only copy on this host, or why there is no such thing."""
    guest, uuid = order.guest or "", order.guest_uuid or ""
    found = copies(report.domains, guest, uuid)
    if len(found) > 1:
        return None, unknown(f"{report.host} holds {len(found)} copies of {guest}")
    if found and found[0].role is not Role.OWN:
        return None, unknown(f"{guest} on {report.host} is {found[0]}")
    return (found[0] if found else None), None


def settle_stop(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """How a shutdown ended: the guest is gone from its host, or it is not."""
    unclear = early(attempt, report)
    copy, odd = _one_copy(order, report)
    if unclear or odd:
        return unclear or odd or unknown("")
    if copy is None:
        return Verdict(Outcome.DONE, f"{order.guest} is shut down")
    if copy.condition is Condition.CRASHED:
        return Verdict(
            Outcome.CRASHED, f"{order.guest} crashed on {report.host}", retry=Retry.PERSON
        )
    if copy.condition is Condition.SHUT_DOWN:
        text = f"{order.guest} is shut down, but its domain {copy.domid} on {report.host} was kept"
        why = "by its configuration, or as xl does not watch it any more"
        return unknown(
            f"{text}: {why}; nothing runs in it, `xl destroy {copy.domid}` clears it away"
        )
    if copy.condition in (Condition.DYING, Condition.SUSPENDED):
        return unknown(f"{order.guest} on {report.host} is {copy}", Retry.LATER)
    retry = Retry.LATER if attempt.domid not in (None, copy.domid) else Retry.PERSON
    reason = f"{order.guest} still runs as domain {copy.domid} ({failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=retry)


def settle_start(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """How the start of a guest ended: it runs on its host, or it does not."""
    unclear = early(attempt, report)
    copy, odd = _one_copy(order, report)
    if unclear or odd:
        return unclear or odd or unknown("")
    if copy is None:
        others = strangers(report.domains, order.guest or "", order.guest_uuid or "")
        if others:
            return unknown(f"{order.guest} runs with another UUID, {others[0].uuid}")
        reason = f"{order.guest} does not run ({failure(attempt)})"
        return Verdict(Outcome.STAYED, reason, retry=Retry.SAME)
    if copy.condition is Condition.RUNS:
        return Verdict(Outcome.DONE, f"{order.guest} runs on {report.host}")
    if copy.condition in (Condition.CRASHED, Condition.SHUT_DOWN):
        return Verdict(Outcome.CRASHED, f"{order.guest} is {copy}", retry=Retry.PERSON)
    return unknown(f"{order.guest} on {report.host} is {copy}", Retry.LATER)


def settle_reboot(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """A reboot is over when the host is back with a new boot id and a build that counts."""
    if not report.trouble and report.boot_id and report.boot_id != order.boot_id:
        return _came_back(order, report)
    unclear = early(attempt, report)
    if unclear:
        return unclear
    if not report.boot_id:
        return unknown(f"{report.host} does not know its boot id", Retry.LATER)
    if attempt.exit_code:
        reason = f"{report.host} did not reboot ({failure(attempt)})"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    return unknown(f"{report.host} was told to reboot but has not gone down")


def _came_back(order: Order, report: Report) -> Verdict:
    if order.build_ids and report.build_id not in order.build_ids:
        found = report.build_id or "no build id"
        reason = f"{report.host} came back with build {found}, which does not count as fixed"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    return Verdict(Outcome.DONE, f"{report.host} is back with boot id {report.boot_id}")


def settle_livepatch(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether the payload is applied."""
    unclear = early(attempt, report)
    if unclear:
        return unclear
    if order.payload in report.livepatches:
        return Verdict(Outcome.DONE, f"{order.payload} is applied on {report.host}")
    reason = f"{order.payload} is not applied on {report.host} ({failure(attempt)})"
    retry = Retry.SAME if attempt.exit_code == 2 else Retry.PERSON
    return Verdict(Outcome.STAYED, reason, retry=retry)


EBUSY = "Error 16:"
"""What `xen-livepatch` says where Xen refuses to revert: another payload was applied later."""


def settle_revert(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether the payload does nothing any more."""
    name, applied = order.payload, report.livepatches
    unclear = early(attempt, report)
    if attempt.state is AttemptState.REFUSED and not report.trouble and name not in applied:
        return Verdict(Outcome.DONE, f"{name} is not applied on {report.host} any more")
    if unclear:
        return unclear
    if name not in applied:
        return Verdict(Outcome.DONE, f"{name} is reverted on {report.host}")
    others = ", ".join(one for one in applied if one != name)
    if EBUSY in attempt.output_tail and others:
        reason = (
            f"{name} is still applied on {report.host}: Xen reverts only what was applied last; "
            f"{others} is applied, too: revert that first"
        )
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    reason = f"{name} is still applied on {report.host} ({failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)


def settle_mend(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether a clean-up did what it was meant to."""
    unclear = early(attempt, report)
    if unclear:
        return unclear
    found = [
        copy
        for copy in copies(report.domains, order.guest or "", order.guest_uuid or "")
        if copy.domid == order.domid
    ]
    if order.mend in (MendAction.DESTROY_SOURCE, MendAction.DESTROY_INCOMING):
        return _settle_destroy(order, attempt, found)
    return _settle_wake(order, attempt, found)


def _settle_destroy(order: Order, attempt: Attempt, found: list[Copy]) -> Verdict:
    if not found:
        return Verdict(Outcome.DONE, f"domain {order.domid} on {order.host} is gone")
    if found[0].condition is Condition.DYING:
        return unknown(f"domain {order.domid} on {order.host} does not finish dying")
    reason = f"domain {order.domid} is still on {order.host} ({failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)


def _settle_wake(order: Order, attempt: Attempt, found: list[Copy]) -> Verdict:
    if not found:
        return unknown(f"domain {order.domid} is gone from {order.host}")
    copy = found[0]
    if copy.condition is Condition.RUNS and copy.role is Role.OWN:
        return Verdict(Outcome.DONE, f"{order.guest} runs on {order.host}")
    reason = f"{order.guest} on {order.host} is {copy} ({failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
