"""A guest's copies on a host, by UUID and by the three names it can have on the way. Pure.

On the way a guest is `NAME`, then `NAME--migratedaway` at the source, and `NAME--incoming`, then
`NAME` at the destination (facts of Xen's `xl_migrate.c`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agents.wire import Domain

INCOMING = "--incoming"
MIGRATEDAWAY = "--migratedaway"
NO_NAME = "(null)"


class Role(StrEnum):
    """Which of its names a copy has."""

    OWN = "own"
    INCOMING = "incoming"
    AWAY = "away"
    OTHER = "other"  # the UUID of the guest under a name that no migration gives


class Condition(StrEnum):
    """What a copy does, by its six state letters."""

    RUNS = "runs"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    CRASHED = "crashed"
    SHUT_DOWN = "shut down"
    DYING = "dying"


@dataclass(frozen=True)
class Copy:
    """One domain with the guest's UUID."""

    domid: int
    role: Role
    condition: Condition
    cpu_time_s: float

    @property
    def ran(self) -> bool:
        """It has run on this host. CPU time starts at 0 when a copy arrives."""
        return self.cpu_time_s > 0

    @property
    def never_ran(self) -> bool:
        """It arrived and was never started: nothing is lost with it."""
        return self.role is Role.INCOMING and self.condition is Condition.PAUSED and not self.ran

    def __str__(self) -> str:
        names = {Role.OWN: "", Role.INCOMING: INCOMING, Role.AWAY: MIGRATEDAWAY}
        named = names.get(self.role, "under another name")
        return f"domain {self.domid} {named or 'under its own name'}, {self.condition.value}"


def condition(state: str) -> Condition:
    """From the letters of `xl list`: `r b p s`, the reason of a shutdown, `d`."""
    if "d" in state[5:6]:
        return Condition.DYING
    if state[3:4] == "s":
        reasons = {"s": Condition.SUSPENDED, "c": Condition.CRASHED, "w": Condition.CRASHED}
        return reasons.get(state[4:5], Condition.SHUT_DOWN)
    return Condition.PAUSED if state[2:3] == "p" else Condition.RUNS


def base_name(name: str) -> str:
    """`db-3` of `db-3--incoming`, `db-3--migratedaway` and `db-3`."""
    return name.removesuffix(INCOMING).removesuffix(MIGRATEDAWAY)


def role(name: str, guest: str) -> Role:
    """Which of the guest's three names this is."""
    names = {guest: Role.OWN, guest + INCOMING: Role.INCOMING, guest + MIGRATEDAWAY: Role.AWAY}
    return names.get(name, Role.OTHER)


def copies(domains: Iterable[Domain], guest: str, uuid: str) -> list[Copy]:
    """Every domain with this UUID."""
    return [
        Copy(d.domid, role(d.name, guest), condition(d.state), d.cpu_time_s)
        for d in domains
        if d.uuid == uuid
    ]


def strangers(domains: Iterable[Domain], guest: str, uuid: str) -> list[Domain]:
    """Domains that hold one of the guest's three names but are another guest."""
    return [d for d in domains if d.uuid != uuid and role(d.name, guest) is not Role.OTHER]
