"""What looking at both hosts can say of an attempt: the nouns of `settle`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agents.blackout import Blackout
from agents.wire import MendAction, Tuning


class Outcome(StrEnum):
    """How an attempt ended, by what the hosts show."""

    MOVED = "moved"  # the guest runs at the destination, and only there
    STAYED = "stayed"  # nothing changed: a move's guest runs at the source, and only there
    CRASHED = "crashed"  # the guest runs nowhere, and nothing is left that could be woken
    BOTH = "both"  # two copies ran or could run: page a person, touch nothing
    UNKNOWN = "unknown"  # not to be told now; `mends` or a later look may settle it
    DONE = "done"  # a step that is no move reached its end


class Retry(StrEnum):
    """What may be tried next, by what the command said."""

    NONE = "none"  # nothing: it is done
    SAME = "same"  # the same again, after a while
    OTHER_DESTINATION = "other_destination"  # not to this destination
    LATER = "later"  # look again, or plan again from a fresh fleet
    NEVER = "never"  # this guest cannot be moved
    PERSON = "person"  # a person has to look first


@dataclass(frozen=True)
class Mend:
    """One clean-up that the table allows now; the host checks it again before it acts."""

    host: str
    action: MendAction
    domid: int
    guest: str
    uuid: str
    why: str


@dataclass(frozen=True)
class Retune:
    """A guest that moved and lost some of its share of the CPUs: where, and what it had."""

    host: str
    domid: int
    tuning: Tuning
    why: str


@dataclass(frozen=True)
class Verdict:
    """The end of an attempt. Where `mends` is not empty: carry them out, look, settle again."""

    outcome: Outcome
    reason: str
    mends: tuple[Mend, ...] = ()
    retry: Retry = Retry.NONE
    retune: Retune | None = None  # of a move: to be put back afterwards; the move is over
    blackout: Blackout | None = None  # of a move: how long the guest stood still
    arrived_domid: int | None = None  # of a move that succeeded: the guest's domain, in that
    arrived_boot_id: str = ""  # life of its new host
