"""What an attempt came to, from what its hosts show after it ended. Pure.

The caller guarantees that every report began after the attempt was known to have ended.
"""

from __future__ import annotations

from agents.copies import Condition, Copy, Role, copies, strangers
from agents.settle_move import make_case, settle_case
from agents.verdict import Mend, Outcome, Retry, Verdict
from agents.wire import Attempt, AttemptState, MendAction, Order, RefusalCode, Report

__all__ = [
    "Mend",
    "Outcome",
    "Retry",
    "Verdict",
    "settle_livepatch",
    "settle_mend",
    "settle_move",
    "settle_reboot",
    "settle_start",
    "settle_stop",
]

NOT_NOW = (RefusalCode.PAUSED, RefusalCode.ABORTED, RefusalCode.STALE, RefusalCode.REVOKED)


def settle_move(order: Order, attempt: Attempt, source: Report, destination: Report) -> Verdict:
    """How a migration ended; `source` and `destination` are newer than its end."""
    early = _cannot_tell(attempt, source, destination)
    if early:
        return early
    if source.host != order.host or destination.host != order.destination:
        return _unknown("the reports are not of the two hosts of this move")
    return settle_case(make_case(order, attempt, source, destination))


def _cannot_tell(attempt: Attempt, *reports: Report) -> Verdict | None:
    """What comes before any table: refused, still running, or a report that is no ground."""
    if attempt.state is AttemptState.REFUSED:
        retry = Retry.NONE if attempt.refusal in NOT_NOW else Retry.LATER
        return Verdict(Outcome.STAYED, f"not started: {attempt.reason}", retry=retry)
    if attempt.state is AttemptState.RUNNING:
        return _unknown("it is still running", Retry.LATER)
    for report in reports:
        if report.trouble:
            return _unknown(f"{report.host} cannot be read: {report.trouble[0]}", Retry.LATER)
    return None


def _unknown(reason: str, retry: Retry = Retry.PERSON) -> Verdict:
    return Verdict(Outcome.UNKNOWN, reason, retry=retry)


def _failure(attempt: Attempt) -> str:
    """The exit code, and the last thing that the command said."""
    lines = attempt.output_tail.strip().splitlines()
    code = "unknown" if attempt.exit_code is None else str(attempt.exit_code)
    return f"exit code {code}" + (f", {lines[-1].strip()}" if lines else "")


def _one_copy(order: Order, report: Report) -> tuple[Copy | None, Verdict | None]:
    """The guest's only copy on this host, or why there is no such thing."""
    guest, uuid = order.guest or "", order.guest_uuid or ""
    found = copies(report.domains, guest, uuid)
    if len(found) > 1:
        return None, _unknown(f"{report.host} holds {len(found)} copies of {guest}")
    if found and found[0].role is not Role.OWN:
        return None, _unknown(f"{guest} on {report.host} is {found[0]}")
    return (found[0] if found else None), None


def settle_stop(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """How a shutdown ended: the guest is gone from its host, or it is not."""
    early = _cannot_tell(attempt, report)
    copy, odd = _one_copy(order, report)
    if early or odd:
        return early or odd or _unknown("")
    if copy is None:
        return Verdict(Outcome.DONE, f"{order.guest} is shut down")
    if copy.condition is Condition.CRASHED:
        return Verdict(
            Outcome.CRASHED, f"{order.guest} crashed on {report.host}", retry=Retry.PERSON
        )
    if copy.condition is Condition.SHUT_DOWN:
        return _unknown(f"{order.guest} is shut down, but its domain {copy.domid} was kept")
    if copy.condition in (Condition.DYING, Condition.SUSPENDED):
        return _unknown(f"{order.guest} on {report.host} is {copy}", Retry.LATER)
    retry = Retry.LATER if attempt.domid not in (None, copy.domid) else Retry.PERSON
    reason = f"{order.guest} still runs as domain {copy.domid} ({_failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=retry)


def settle_start(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """How the start of a guest ended: it runs on its host, or it does not."""
    early = _cannot_tell(attempt, report)
    copy, odd = _one_copy(order, report)
    if early or odd:
        return early or odd or _unknown("")
    if copy is None:
        others = strangers(report.domains, order.guest or "", order.guest_uuid or "")
        if others:
            return _unknown(f"{order.guest} runs with another UUID, {others[0].uuid}")
        reason = f"{order.guest} does not run ({_failure(attempt)})"
        return Verdict(Outcome.STAYED, reason, retry=Retry.SAME)
    if copy.condition is Condition.RUNS:
        return Verdict(Outcome.DONE, f"{order.guest} runs on {report.host}")
    if copy.condition in (Condition.CRASHED, Condition.SHUT_DOWN):
        return Verdict(Outcome.CRASHED, f"{order.guest} is {copy}", retry=Retry.PERSON)
    return _unknown(f"{order.guest} on {report.host} is {copy}", Retry.LATER)


def settle_reboot(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """A reboot is over when the host is back with a new boot id and a build that counts."""
    if not report.trouble and report.boot_id and report.boot_id != order.boot_id:
        return _came_back(order, report)
    early = _cannot_tell(attempt, report)
    if early:
        return early
    if not report.boot_id:
        return _unknown(f"{report.host} does not know its boot id", Retry.LATER)
    if attempt.exit_code:
        reason = f"{report.host} did not reboot ({_failure(attempt)})"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    return _unknown(f"{report.host} was told to reboot but has not gone down")


def _came_back(order: Order, report: Report) -> Verdict:
    if order.build_ids and report.build_id not in order.build_ids:
        found = report.build_id or "no build id"
        reason = f"{report.host} came back with build {found}, which does not count as fixed"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    return Verdict(Outcome.DONE, f"{report.host} is back with boot id {report.boot_id}")


def settle_livepatch(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether the payload is applied."""
    early = _cannot_tell(attempt, report)
    if early:
        return early
    if order.payload in report.livepatches:
        return Verdict(Outcome.DONE, f"{order.payload} is applied on {report.host}")
    reason = f"{order.payload} is not applied on {report.host} ({_failure(attempt)})"
    retry = Retry.SAME if attempt.exit_code == 2 else Retry.PERSON
    return Verdict(Outcome.STAYED, reason, retry=retry)


def settle_mend(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether a clean-up did what it was meant to."""
    early = _cannot_tell(attempt, report)
    if early:
        return early
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
        return _unknown(f"domain {order.domid} on {order.host} does not finish dying")
    reason = f"domain {order.domid} is still on {order.host} ({_failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)


def _settle_wake(order: Order, attempt: Attempt, found: list[Copy]) -> Verdict:
    if not found:
        return _unknown(f"domain {order.domid} is gone from {order.host}")
    copy = found[0]
    if copy.condition is Condition.RUNS and copy.role is Role.OWN:
        return Verdict(Outcome.DONE, f"{order.guest} runs on {order.host}")
    reason = f"{order.guest} on {order.host} is {copy} ({_failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
