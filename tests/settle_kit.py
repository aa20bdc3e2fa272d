"""Words for the tables of how a migration ended: what the hosts show, what `xl` said, and a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.settle import Outcome, Retry
from agents.wire import Domain, MendAction
from tests.agents_kit import (
    BLOCKED,
    OTHER_UUID,
    PAUSED,
    RUNS,
    SUSPENDED,
    domain,
)

GUEST, AWAY, INCOMING = "db-3", "db-3--migratedaway", "db-3--incoming"
ACK = "migration sender: Target has acknowledged transfer.\n"
GO = "migration sender: Giving target permission to start.\n"
EXIT_A = "Migration failed, failed to suspend at sender.\n"
EXIT_B = "Migration failed, resuming at sender.\n"
EXIT_C = "** Migration failed during final handshake **\nDomain state is now undefined !\n"

AT_S = domain(GUEST, BLOCKED, 60.0, 5)
SUSPENDED_AT_S = domain(GUEST, SUSPENDED, 60.0, 5)
AWAY_AT_S = domain(AWAY, SUSPENDED, 60.0, 5)
AT_T = domain(GUEST, RUNS, 2.0, 9)
FRESH_AT_T = domain(GUEST, RUNS, 0.0, 9)
PAUSED_AT_T = domain(GUEST, PAUSED, 0.0, 9)
INCOMING_AT_T = domain(INCOMING, PAUSED, 0.0, 9)
STRANGER_AT_T = domain(GUEST, PAUSED, 0.0, 7, uuid=OTHER_UUID)


@dataclass(frozen=True)
class Row:
    """One case; `mends` are (action, domid)."""

    sentence: str
    outcome: Outcome
    retry: Retry
    here: tuple[Domain, ...] = ()
    there: tuple[Domain, ...] = ()
    said: str = ""
    code: int | None = 1
    mends: tuple[tuple[MendAction, int], ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    destination: dict[str, Any] = field(default_factory=dict)


STAYED, MOVED, UNKNOWN = Outcome.STAYED, Outcome.MOVED, Outcome.UNKNOWN
CRASH, BOTH = Outcome.CRASHED, Outcome.BOTH
SAME, OTHER, LATER = Retry.SAME, Retry.OTHER_DESTINATION, Retry.LATER
NEVER, PERSON, NONE = Retry.NEVER, Retry.PERSON, Retry.NONE
DESTROY_SOURCE = ((MendAction.DESTROY_SOURCE, 5),)
DESTROY_INCOMING = ((MendAction.DESTROY_INCOMING, 9),)
RESUME = ((MendAction.RESUME_SOURCE, 5),)
UNPAUSE = ((MendAction.UNPAUSE, 9),)
XEN_4_20 = {"xen_version": "4.20.1"}
RECEIVES = {"receiving": 1}


def stays(sentence: str, retry: Retry, said: str, **more: Any) -> Row:
    """The guest goes on at S and T has nothing: only the words tell what to try next."""
    return Row(sentence, STAYED, retry, here=(AT_S,), said=said, **more)
