"""What every settler says before its own table. Pure."""

from __future__ import annotations

from agents.verdict import Outcome, Retry, Verdict
from agents.wire import Attempt, AttemptState, RefusalCode, Report

NOT_NOW = (RefusalCode.PAUSED, RefusalCode.ABORTED, RefusalCode.STALE, RefusalCode.REVOKED)


def early(attempt: Attempt, *reports: Report) -> Verdict | None:
    """What comes before any table: refused, still running, or a report that is no ground."""
    if attempt.state is AttemptState.REFUSED:
        retry = Retry.NONE if attempt.refusal in NOT_NOW else Retry.LATER
        return Verdict(Outcome.STAYED, f"not started: {attempt.reason}", retry=retry)
    if attempt.state is AttemptState.RUNNING:
        return unknown("it is still running", Retry.LATER)
    for report in reports:
        if report.trouble:
            return unknown(f"{report.host} cannot be read: {report.trouble[0]}", Retry.LATER)
    return None


def unknown(reason: str, retry: Retry = Retry.PERSON) -> Verdict:
    """Nobody can tell."""
    return Verdict(Outcome.UNKNOWN, reason, retry=retry)


def failure(attempt: Attempt) -> str:
    """The exit code, and the last thing that the command said."""
    lines = attempt.output_tail.strip().splitlines()
    code = "unknown" if attempt.exit_code is None else str(attempt.exit_code)
    return f"exit code {code}" + (f", {lines[-1].strip()}" if lines else "")
