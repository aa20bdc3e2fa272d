"""What is told: one line of a rollout's event log with all that a receiver may need. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from scheduler.frozen import Frozen
from scheduler.rollout import Happening


class Severity(StrEnum):
    """How much an event matters, the least first."""

    DEBUG = "debug"  # each start and arrival
    INFO = "info"  # milestones
    WARNING = "warning"  # somebody should look during the day
    CRITICAL = "critical"  # somebody should look now

    def reaches(self, least: Severity) -> bool:
        """Whether it matters at least so much."""
        order = list(Severity)
        return order.index(self) >= order.index(least)


CRITICAL = ("stopped", "both", "unknown", "crashed", "suspended")
WARNING = (
    *("paused", "abort", "aborted", "blocked", "failed", "alarm", "silent"),
    *("refused", "stayed", "held", "mending", "late", "lost", "lacking", "exposed"),
    *("arrival", "quarantined", "left_out", "put_off", "waits", "aside", "withheld"),
    *("unmonitored", "recalled"),
)
DEBUG = ("started", "moved", "draining", "moot", "opened", "notice", "loading", "retune")
SEVERITIES = {
    **dict.fromkeys(CRITICAL, Severity.CRITICAL),
    **dict.fromkeys(WARNING, Severity.WARNING),
    **dict.fromkeys(DEBUG, Severity.DEBUG),
}
TEST = "test"


def severity_of(kind: str) -> Severity:
    """How much a kind of event matters; what is not listed is a milestone."""
    return SEVERITIES.get(kind, Severity.INFO)


class Event(Frozen):
    """One event as it is told. Under embargo its texts still have the real names: veil them."""

    id: str  # of its line, or of a test; letters, digits, `-` and `_`
    kind: str
    severity: Severity
    at: datetime
    text: str
    rollout: str = ""
    advisory: str = ""
    host: str | None = None
    guest: str | None = None
    owner: str = ""  # of the guest, where the inventory names one
    step: str | None = None
    due_at: datetime | None = None  # of a notice: when what it says is expected


def event_of(place: str, rollout: str, advisory: str, owner: str, said: Happening) -> Event:
    """The event of one line; `place` is the line's id in its stream, `NUMBER-NUMBER`."""
    return Event(
        id=f"{place}-{rollout}",
        kind=said.kind,
        severity=severity_of(said.kind),
        at=said.at,
        text=said.text,
        rollout=rollout,
        advisory=advisory,
        host=said.host,
        guest=said.guest,
        owner=owner,
        step=said.step,
        due_at=said.due_at,
    )


def test_event(name: str, by: str, at: datetime) -> Event:
    """What a test button sends."""
    text = f"a test of notifications, asked for by {by}: nothing has happened"
    return Event(id=f"test-{name}", kind=TEST, severity=Severity.INFO, at=at, text=text)
