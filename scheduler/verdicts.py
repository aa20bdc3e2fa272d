"""Which settler judges which kind of step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agents.settle import (
    Outcome,
    Retry,
    Verdict,
    settle_livepatch,
    settle_mend,
    settle_move,
    settle_reboot,
    settle_start,
    settle_stop,
)
from agents.wire import Attempt, Kind, Order, Report
from scheduler.advisory import Advisory, exposed
from scheduler.rollout import Step

ONE_HOST: Mapping[Kind, Callable[[Order, Attempt, Report], Verdict]] = {
    Kind.STOP: settle_stop,
    Kind.START: settle_start,
    Kind.REBOOT: settle_reboot,
    Kind.MEND: settle_mend,
    Kind.LIVEPATCH: settle_livepatch,
}


def verdict_of(
    step: Step,
    order: Order,
    attempt: Attempt,
    reports: Mapping[str, Report],
    advisories: Sequence[Advisory] = (),
) -> Verdict:
    """What an attempt came to, by reports that began after its end."""
    if step.kind is Kind.MOVE:
        return settle_move(order, attempt, reports[step.host], reports[step.destination or ""])
    report = reports[step.host]
    verdict = ONE_HOST[step.kind](order, attempt, report)
    still = exposed(advisories, report) if step.kind is Kind.REBOOT else None
    if verdict.outcome is Outcome.DONE and still is not None:
        reason = f"{step.host} came back and is still exposed to {still.advisory}: {still.reason}"
        return Verdict(Outcome.STAYED, reason, retry=Retry.PERSON)
    return verdict
