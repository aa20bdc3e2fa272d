"""Live patches that a person had reverted: the records, and what follows from them. Pure.

A payload that was reverted, or is about to be, is withheld: no rollout loads it on that host, for
that build, until somebody says that it may be loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from agents.wire import Kind, Order, Report
from scheduler.choice import Withheld
from scheduler.frozen import Frozen
from scheduler.rollout import attempt_id

STEP = "revert"


class RevertState(StrEnum):
    """How far a revert has come, one line of meaning each."""

    ASKED = "asked"  # a person wants it; the controller has not ordered it yet
    ORDERED = "ordered"  # its host was told, and nobody knows yet what came of it
    REVERTED = "reverted"  # its host was seen without it
    FAILED = "failed"  # its host was seen to have it still, or nothing was started


OPEN = frozenset({RevertState.ASKED, RevertState.ORDERED})


class Revert(Frozen):
    """One payload that is to do nothing any more on one host; the newest one of the two counts."""

    id: str  # of its control record, as a rollout's
    host: str
    payload: str
    build_id: str  # that ran when it was asked for
    by: str
    reason: str
    asked_at: datetime
    state: RevertState = RevertState.ASKED
    since: datetime  # of the state
    outcome: str = ""
    agent_id: str = ""  # of the report that showed the outcome, as is the next one
    sequence: int = 0
    boot_id: str = ""  # of that report; empty: no report showed it

    @property
    def open(self) -> bool:
        """Whether something may still come of it."""
        return self.state in OPEN

    @property
    def attempt_id(self) -> str:
        """There is one attempt: who wants another one asks again."""
        return attempt_id(self.id, STEP, 1)

    @property
    def order(self) -> Order:
        """What its host is told; the same each time."""
        return Order(
            attempt_id=self.attempt_id,
            rollout_id=self.id,
            step_id=STEP,
            epoch=1,
            kind=Kind.REVERT,
            host=self.host,
            payload=self.payload,
        )

    @property
    def withheld(self) -> Withheld | None:
        """What no rollout may load; None where nothing was reverted."""
        if self.state is RevertState.FAILED:
            return None
        why = f"live patch {self.payload} was reverted by {self.by}: {self.reason}"
        return Withheld(payload=self.payload, build_id=self.build_id, why=why)


def seen(revert: Revert, report: Report) -> Revert:
    """The revert with the report that shows what came of it."""
    shown = {"agent_id": report.agent_id, "sequence": report.sequence, "boot_id": report.boot_id}
    return revert.model_copy(update=shown)


def withheld(reverts: Iterable[Revert]) -> dict[str, tuple[Withheld, ...]]:
    """Host -> what is not loaded there."""
    found: dict[str, list[Withheld]] = {}
    for revert in sorted(reverts, key=lambda one: (one.host, one.payload)):
        if revert.withheld is not None:
            found.setdefault(revert.host, []).append(revert.withheld)
    return {host: tuple(ones) for host, ones in found.items()}


class PatchState(StrEnum):
    """What a live patch is on a host."""

    APPLIED = "applied"
    REVERTING = "reverting"
    REVERTED = "reverted"  # by a person, through us: no rollout loads it again


class PatchRow(Frozen):
    """A live patch on one host, with what a person had done about it."""

    host: str
    payload: str
    build_id: str
    state: PatchState
    revert: str | None = None  # id of the newest revert
    revert_state: RevertState | None = None
    by: str = ""
    since: datetime | None = None
    note: str = ""


def rows(reports: Mapping[str, Report], reverts: Sequence[Revert]) -> list[PatchRow]:
    """By host and payload: what is applied, and what was reverted on the build that runs."""
    found = {
        (name, payload): PatchRow(
            host=name, payload=payload, build_id=report.build_id, state=PatchState.APPLIED
        )
        for name, report in reports.items()
        for payload in report.livepatches
    }
    for revert in reverts:
        key, report = (revert.host, revert.payload), reports.get(revert.host)
        applied = key in found and not _older(report, revert)
        here = report is None or report.build_id == revert.build_id
        if applied or (here and revert.withheld is not None):
            found[key] = _row(revert, applied, found.get(key))
    return [found[key] for key in sorted(found)]


def _older(report: Report | None, revert: Revert) -> bool:
    """Whether the report is of before the look that showed what came of the revert."""
    same_life = report is not None and report.agent_id == revert.agent_id
    return same_life and report is not None and report.sequence < revert.sequence


def _row(revert: Revert, applied: bool, before: PatchRow | None) -> PatchRow:
    if revert.open:
        state, note = PatchState.REVERTING, revert.reason
    elif not applied:
        state, note = PatchState.REVERTED, revert.reason
    elif revert.state is RevertState.FAILED:
        state, note = PatchState.APPLIED, revert.outcome
    else:
        state, note = PatchState.APPLIED, f"loaded by hand after it was reverted: {revert.reason}"
    return PatchRow(
        host=revert.host,
        payload=revert.payload,
        build_id=before.build_id if before else revert.build_id,
        state=state,
        revert=revert.id,
        revert_state=revert.state,
        by=revert.by,
        since=revert.since,
        note=note,
    )
