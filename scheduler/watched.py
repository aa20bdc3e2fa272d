"""What is kept of guests that were moved: trials, endings, classes and their marks. Pure nouns.

A *class* is what guests that behave alike have in common (kernel, kind of virtualisation,
architecture where it is known; the inventory may name it) together with the pair of hypervisor
builds that a move leads from and to.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from scheduler.frozen import Frozen
from scheduler.rollout import Hold

UNKNOWN_CLASS = "unknown"
"""Of a guest whose configuration does not tell."""


class Cause(StrEnum):
    """Why a domain ended, one line of meaning each."""

    CRASHED = "crashed"  # its state letter, xl's log or the settler says so
    UNKNOWN = "unknown"  # gone, or back with a new domid, and nothing tells why
    REBOOTED = "rebooted"  # it asked for a reboot itself: its owner's business
    SHUT_DOWN = "shut_down"  # it powered itself off, or was asked to
    HOST = "host"  # its host was rebooted or reset under it


FAULT = frozenset({Cause.CRASHED, Cause.UNKNOWN})
"""Counted against a move while it soaks: so soon after it, doubt speaks against the move."""


def covers(marked: str, guest_class: str) -> bool:
    """Whether what was decided of a class holds for a guest of this one.

    Agents of before wrote a class without the two words of the kernel's release and architecture:
    what was decided of such a class still holds for all guests that were in it.
    """
    return guest_class == marked or guest_class.rsplit(" ", 2)[0] == marked


class ClassKey(Frozen):
    """A class of guests, and the builds that a move leads between (empty for what never moved)."""

    guest_class: str
    build_from: str = ""
    build_to: str = ""

    @property
    def pair(self) -> str:
        """`4.17.4 ab12 → 4.17.5 cd34`; a dash where nothing was moved."""
        return f"{self.build_from or '?'} → {self.build_to or '?'}" if self.build_to else "-"


class Trial(Frozen):
    """A move that was carried out, and what became of the guest while it was watched."""

    id: str  # of the attempt
    rollout: str
    guest: str
    uuid: str
    key: ClassKey
    host: str  # where it went
    moved_at: datetime
    ended_at: datetime | None = None  # the watch ended
    cause: Cause | None = None  # None while watched, or where it was moved again
    in_soak: bool = False  # it ended so soon that it is put down to the move
    reason: str = ""
    quiet: str = ""  # a hint, no verdict: what stands still

    @property
    def failed(self) -> bool:
        """Whether it counts against its class and its rollout."""
        return self.in_soak and self.cause in FAULT


class Ending(Frozen):
    """A domain that ended without a step of ours."""

    id: str  # a domain ends once: uuid, boot of the host, domid
    at: datetime  # when it was noticed
    guest: str
    uuid: str
    key: ClassKey
    host: str
    cause: Cause
    reason: str
    trial: str | None = None  # the move that it is watched after
    after_s: float | None = None  # since that move
    in_soak: bool = False
    owner: str = ""


class ClassMark(Frozen):
    """What was decided of a class, whatever the builds."""

    guest_class: str
    quarantine: Hold | None = None
    released: Hold | None = None  # moves before this are forgiven

    @property
    def counts_from(self) -> datetime | None:
        """Moves from then on are judged; None: all."""
        return self.released.since if self.released else None


class Life(Frozen):
    """A domain as it was last seen to be well."""

    name: str
    uuid: str
    boot_id: str
    domid: int
    guest_class: str
    alone_since: datetime | None = None  # xl does not watch it any more (`scheduler.monitors`)
    alone: bool = False  # for so long that it is told


class Lives(Frozen):
    """Every domain of a host, as last seen; what a restarted controller compares with."""

    host: str
    lives: tuple[Life, ...]


class GuestHours(Frozen):
    """Guest-hours of one day, group and class."""

    field: str  # its name in the records
    day: str
    group: str  # `moved` or `other`
    key: ClassKey
    hours: float
