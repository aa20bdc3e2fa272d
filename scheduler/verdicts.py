"""Which settler judges which kind of step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agents.settle import (
    Outcome,
    Verdict,
    settle_livepatch,
    settle_mend,
    settle_move,
    settle_reboot,
    settle_retune,
    settle_start,
    settle_stop,
)
from agents.wire import Attempt, AttemptState, Kind, MendAction, Order, Report
from scheduler.advisory import Advisory
from scheduler.comeback import judge
from scheduler.rollout import HostRecord, Step

ONE_HOST: Mapping[Kind, Callable[[Order, Attempt, Report], Verdict]] = {
    Kind.STOP: settle_stop,
    Kind.START: settle_start,
    Kind.REBOOT: settle_reboot,
    Kind.MEND: settle_mend,
    Kind.LIVEPATCH: settle_livepatch,
    Kind.RETUNE: settle_retune,
}


def verdict_of(
    step: Step,
    order: Order,
    attempt: Attempt,
    reports: Mapping[str, Report],
    host: HostRecord,
    advisories: Sequence[Advisory] = (),
    keeps: Sequence[Advisory] = (),
    mends: Sequence[Step] = (),
) -> Verdict:
    """What an attempt came to, by reports that began after its end.

    `keeps`: advisories beside the rollout's own whose live patches a reboot must not undo.
    `mends`: the clean-ups of this step so far.
    """
    if step.kind is Kind.MOVE:
        source, destination = reports[step.host], reports[step.destination or ""]
        never_ran = any(_destroyed_what_never_ran(mend, step) for mend in mends)
        return settle_move(order, attempt, source, destination, never_ran=never_ran)
    report = reports[step.host]
    verdict = ONE_HOST[step.kind](order, attempt, report)
    if verdict.outcome is Outcome.DONE and step.kind is Kind.REBOOT:
        return judge(host, report, advisories, keeps)
    return verdict


def _destroyed_what_never_ran(mend: Step, step: Step) -> bool:
    """Of this attempt: what an earlier one had left there says nothing of a later one's copy."""
    if mend.mend is not MendAction.DESTROY_INCOMING or mend.outcome != Outcome.DONE:
        return False
    began, mended = step.ordered_at, mend.ordered_at
    return began is not None and mended is not None and mended >= began


def vanished(name: str, step: Step) -> Attempt:
    """An attempt of which its host knows nothing any more: only a look can tell."""
    return Attempt(
        attempt_id=name,
        kind=step.kind,
        state=AttemptState.UNKNOWN,
        reason="the host's journal does not show it",
        guest=step.guest,
    )
