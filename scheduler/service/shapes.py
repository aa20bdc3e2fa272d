"""What the API answers, where it is not a record of the rollout as it is stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from agents.wire import Attempt, BootStart, GuestSeen, Leftover, Wanted
from scheduler.rollout import Rollout, RolloutState

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    Field(description="Why; it is kept in the audit trail and shown to everybody."),
]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,79}$")]
BuildId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
HostName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
XenVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]


class HostOut(BaseModel):
    """A host of the inventory with the facts of its newest report."""

    name: str
    pool: str
    group: str | None
    reported_at: datetime | None  # by the host's clock; null: never
    agent_version: str  # that made the report; empty: none
    xen_version: str
    build_id: str
    livepatches: list[str]
    memory_total_mib: int
    memory_free_mib: int
    cpus: int
    guests: int
    rollout: str | None  # that may touch it
    trouble: str  # why its report is no ground for a step; empty: none


class HostDetail(HostOut):
    """A host with all that it shows."""

    boot_id: str
    offers: list[str]
    leftovers: list[Leftover]
    boot_starts: list[BootStart]  # what would start guests by itself when it boots
    put_aside: list[str]  # autostart links of guests that moved away
    attempts: list[Attempt]  # by its own journal
    guests_seen: list[GuestSeen]


class GuestOut(GuestSeen):
    """A guest, and the host that shows it."""

    host: str
    owner: str


class RolloutOut(Rollout):
    """A rollout's head, and what a person wants of it right now."""

    wanted_now: Wanted
    epoch_now: int


class ActionBody(BaseModel, extra="forbid"):
    """What an action needs to be told."""

    reason: Reason


class StartBody(BaseModel, extra="forbid"):
    """A rollout to start."""

    advisory: Word | Annotated[list[Word], Field(min_length=1, max_length=20)]
    fixed_builds: Annotated[list[BuildId], Field(max_length=20)] = []  # beside the advisory's
    xen_after: XenVersion | None = None
    without_hosts: Annotated[list[HostName], Field(max_length=1000)] = []
    accept_blocked: bool = False
    livepatch: bool | None = None  # null: as the inventory says
    soak_s: float | None = Field(default=None, ge=0)  # the same
    approval: bool | None = None
    dry_run: bool = False
    wait: bool = False  # write it down only: nothing begins before the action `start`
    reason: Reason

    @property
    def advisories(self) -> list[str]:
        """The names of what it is for."""
        return [self.advisory] if isinstance(self.advisory, str) else self.advisory


class Accepted(BaseModel):
    """An action was written down; hosts obey it from this moment."""

    rollout: str
    part: str = ""  # such as `wave 2` or `host h1`; empty: all of it
    action: str
    state: RolloutState  # as the controller has it; it follows within a second
    href: str


class ChoiceCount(BaseModel):
    """How many hosts go one way, such as `livepatch` or `reboot`, for the same reason."""

    way: str
    reason: str
    hosts: int


class Started(BaseModel):
    """A plan, and the rollout that carries it out unless it was a dry run."""

    rollout: str | None
    state: RolloutState | None  # `awaiting`: a person has to let it begin
    second_person: bool  # and somebody else than who asked for it
    hosts_in_scope: int
    moves: int
    moves_lower_bound: int
    makespan_s: float
    makespan_lower_bound_s: float
    hosts_rebooted: int
    blocked: dict[str, str]  # host -> why
    choices: list[ChoiceCount]  # the most hosts first

    @property
    def href(self) -> str:
        """Where the rollout is; empty after a dry run."""
        return f"/api/v1/rollouts/{self.rollout}" if self.rollout else ""


class PlanOut(BaseModel):
    """One plan of a rollout, and where its document is."""

    generation: int
    href: str


class Starting(BaseModel):
    """Attempts that hosts were allowed to start and that nobody has seen start yet."""

    attempts: list[str]


class Kept(BaseModel):
    """What was written down, in a sentence."""

    kept: str


class CrashOut(BaseModel):
    """A guest that crashed during a rollout."""

    rollout: str
    guest: str
    guest_class: str | None
    host: str
    reason: str


class Me(BaseModel):
    """Who the caller is."""

    name: str
    role: str
