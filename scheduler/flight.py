"""How far a move under way has come, in bytes, and what can honestly be said of its end. Pure.

Bytes are what the transport process has written, compressed or not (`Attempt.bytes_sent`). xl's
save helper says which round of copying it is in, and how many frames the round has; rounds after
the first one copy what the guest has written meanwhile. There are at most five of them, then the
guest is stopped and the rest copied (xen `xg_sr_save.c`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from agents.wire import Attempt, AttemptState, Kind, Report
from scheduler.book import Book
from scheduler.rollout import attempt_id

ROUNDS = 5
FRAMES_OF_A_MIB = 256
BEGUN = 0.01
"""Of its memory: a rate of what came before is one of handshakes, and no bound of anything."""
ROUND = re.compile(r"Frames iteration (\d+): (\d+)/(\d+)")


class Flight(BaseModel):
    """One move under way. `left_high_s` None: no upper bound can be given, `words` say why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent_mib: float
    memory_mib: int
    rate_mib_s: float | None
    round: int | None  # of copying, from 0; None: xl does not say
    left_low_s: float | None
    left_high_s: float | None
    words: str


def flight(attempt: Attempt, memory_mib: int, taken_at: datetime) -> Flight | None:
    """From a host's report; None where its counters cannot be read."""
    if attempt.state is not AttemptState.RUNNING or attempt.bytes_sent is None:
        return None
    sent_mib = attempt.bytes_sent / 2**20
    # Both times are by the host's own clock.
    ran_s = (taken_at - attempt.started_at).total_seconds() if attempt.started_at else 0.0
    rate = sent_mib / ran_s if ran_s > 0 and sent_mib >= BEGUN * memory_mib > 0 else None
    rounds = _rounds(attempt.output_tail)
    low, high, words = _left(sent_mib, memory_mib, rate, rounds)
    return Flight(
        sent_mib=round(sent_mib, 1),
        memory_mib=memory_mib,
        rate_mib_s=rate,
        round=max(rounds, default=None),
        left_low_s=low,
        left_high_s=high,
        words=words,
    )


def _rounds(said: str) -> dict[int, tuple[float, float]]:
    """Round -> (MiB done, MiB in all), as last said of each."""
    return {
        int(number): (int(done) / FRAMES_OF_A_MIB, int(total) / FRAMES_OF_A_MIB)
        for number, done, total in ROUND.findall(said)
    }


def _left(
    sent_mib: float, memory_mib: int, rate: float | None, rounds: Mapping[int, tuple[float, float]]
) -> tuple[float | None, float | None, str]:
    """(at least, at most, words) in seconds."""
    if rate is None:
        return None, None, "unknown: next to nothing was sent yet"
    newest = max(rounds, default=0)
    done_mib, total_mib = rounds.get(newest, (sent_mib, float(memory_mib)))
    low_s = max(0.0, total_mib - done_mib) / rate
    if newest == 0:
        if sent_mib > memory_mib:
            return low_s, None, "unknown: it sends again what the guest writes meanwhile"
        return low_s, None, f"at least {_span(low_s)}: what the guest writes comes on top"
    before_mib = rounds[newest - 1][1] if newest - 1 in rounds else float(memory_mib)
    if total_mib >= before_mib:
        return low_s, None, "unknown: the guest writes memory as fast as it is sent"
    # Each further round copies what was written during the one before it: it shrinks in proportion.
    shrinks = total_mib / before_mib
    more_mib = sum(total_mib * shrinks**n for n in range(1, ROUNDS - newest + 1))
    high_s = low_s + more_mib / rate
    return low_s, high_s, f"{low_s:.0f} to {_span(high_s)}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds:.0f} s ({seconds / 60:.0f} min)"


def flights(book: Book, reports: Mapping[str, Report]) -> dict[str, Flight]:
    """Step id -> how far its move has come; `reports`: the newest of the hosts they leave."""
    found = {}
    for step in book.running():
        report = reports.get(step.host)
        if step.kind is not Kind.MOVE or report is None:
            continue
        name = attempt_id(book.rollout.id, step.id, step.attempt)
        attempt = next((one for one in report.attempts if one.attempt_id == name), None)
        one = flight(attempt, step.room_mib, report.taken_at) if attempt else None
        if one is not None:
            found[step.id] = one
    return found
