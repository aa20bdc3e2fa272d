"""After a move: whether the guest has the share of the CPUs that it had, and what gives it back.

Pure. The source reads the share right before the move, the destination's report shows what arrived,
and the destination's own agent puts back what differs (`prepare`). A guest that runs is never
worth less than its tuning: what cannot be put back is told, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from agents.settle_common import early, failure
from agents.tuning import differences
from agents.verdict import Outcome, Retry, Retune, Verdict
from agents.wire import Attempt, GuestSeen, Order, Report


def with_retune(verdict: Verdict, order: Order, attempt: Attempt, there: Report) -> Verdict:
    """The verdict on a move, and what there is to put back at its destination."""
    if verdict.outcome is not Outcome.MOVED:
        return verdict
    if attempt.tuning is None:
        return _not_known(verdict, attempt.reason)
    guest = _guest(order, there)
    if guest is None or guest.tuning is None:
        return _not_known(verdict, f"{there.host} does not tell it") if guest else verdict
    told = differences(attempt.tuning, guest.tuning, there.cpus)
    if not told:
        return verdict
    why = f"{guest.name} on {there.host}: {', '.join(told)}"
    return replace(verdict, retune=Retune(there.host, guest.domid, attempt.tuning, why))


def _not_known(verdict: Verdict, why: str) -> Verdict:
    """An agent that gives no reason is one that does not know of tunings."""
    text = f"{verdict.reason}; whether its weight, cap and pinning came along is not known: {why}"
    return replace(verdict, reason=text) if why else verdict


def _guest(order: Order, report: Report) -> GuestSeen | None:
    return next((guest for guest in report.guests if guest.uuid == order.guest_uuid), None)


def settle_retune(order: Order, attempt: Attempt, report: Report) -> Verdict:
    """Whether the guest has everything that it had; where not, it runs on all the same."""
    unclear = early(attempt, report)
    if unclear or order.tuning is None:
        return unclear or Verdict(Outcome.DONE, "nothing was to be put back")
    guest = _guest(order, report)
    if guest is None:
        reason = f"{order.guest} is not on {report.host} any more, and was not tuned there"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    if guest.tuning is None:
        reason = f"{order.guest}: {report.host} does not tell its weight, cap and pinning"
        return Verdict(Outcome.STAYED, reason, retry=Retry.SAME)
    told = differences(order.tuning, guest.tuning, report.cpus)
    if not told:
        return Verdict(Outcome.DONE, f"{order.guest} has the share of {report.host} that it had")
    reason = f"tuning differs: {order.guest} has {', '.join(told)}"
    if attempt.exit_code:
        reason += f" ({failure(attempt)})"
    return Verdict(Outcome.STAYED, reason, retry=Retry.SAME)
