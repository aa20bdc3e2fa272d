"""The nouns of a rollout, and the tables that say which state may follow which.

Everything here is frozen. `advance` is the only code that makes a new state out of an old one;
`store` writes exactly the records that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from agents.blackout import Blackout
from agents.notices import Notice
from agents.wire import Disk, Kind, MendAction, Order, Tuning, Wanted
from scheduler.advisory import Advisory
from scheduler.choice import Choice, Withheld
from scheduler.frozen import Frozen
from scheduler.gates import GatePolicy, HookRun
from scheduler.outlook import Outlook as Outlook
from scheduler.states import ENDED as ENDED
from scheduler.states import NEXT as NEXT
from scheduler.states import STEP_NEXT as STEP_NEXT
from scheduler.states import UNDER_WAY as UNDER_WAY
from scheduler.states import RolloutState as RolloutState
from scheduler.states import StepState as StepState
from scheduler.waves import Hold as Hold
from scheduler.waves import PartWish, WaveRecord


class Rollout(Frozen):
    """The head of a rollout; its steps, hosts and guests are records of their own."""

    id: str
    advisory: str
    state: RolloutState
    version: int  # grows by one with every write
    epoch: int  # fences orders of an older life
    generation: int = 1  # of the plan
    replans: int = 0  # in a row, without a step that had its effect in between
    fixed_builds: tuple[str, ...]  # that a host may come back with; empty: any
    advisories: tuple[Advisory, ...] = ()  # as they were when it began
    keeps: tuple[Advisory, ...] = ()  # others that hosts are live-patched for: it undoes none
    livepatch_doubts: int = 0  # hosts with a failed live patch when a person was asked last
    livepatch: bool = False  # hosts are live-patched where a payload fits
    xen_after: str | None = None
    hosts_in_scope: int
    created_at: datetime
    created_by: str
    ended_at: datetime | None = None
    hold: Hold | None = None
    second_person: bool = False  # who made it may not let it begin
    approved_by: str | None = None  # who let it begin, where it waited for that
    wanted: Wanted = Wanted.RUN  # the last wish of a person that was taken up
    gates: GatePolicy = GatePolicy()
    max_hosts_away: int
    max_hosts_away_per_group: int | None = None
    max_moves_out_per_host: int
    max_moves_in_per_host: int
    moves_lower_bound: int
    makespan_lower_bound_s: float
    planned_makespan_s: float
    planned_moves: int
    outlook: Outlook | None = None
    notice_s: float = 0.0  # guests are told so long before they are moved or shut down; 0: never
    quarantined: tuple[str, ...] = ()  # classes of guests that are not moved any more
    quarantines: dict[str, Hold] = Field(default_factory=dict)  # why, since when, by whom
    replan_for: str = ""  # why the rest is to be planned anew as soon as it runs


class Step(Frozen):
    """One step of the plan, under way or done."""

    id: str
    generation: int
    kind: Kind
    wave: int
    needs: tuple[str, ...]
    host: str  # who carries it out: the source of a move
    guest: str | None = None
    destination: str | None = None
    planned_start_s: float = 0.0
    planned_end_s: float = 0.0
    state: StepState = StepState.WAITING
    attempt: int = 0  # number of the newest attempt; 0: none yet
    tries: int = 0  # attempts that were started
    refusals: int = 0  # attempts that a gate on the host refused, in a row
    stale: int = 0  # attempts that its host refused as of an older life, in a row
    mends: int = 0  # rounds of cleaning up
    not_before: datetime | None = None  # back-off
    held_since: datetime | None = None  # a gate here says no
    reason: str = ""
    outcome: str = ""
    ordered_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent: str | None = None  # mend, retune: the step whose leftovers or guest it looks after
    mend: MendAction | None = None
    domid: int | None = None
    tuning: Tuning | None = None  # retune: what the guest had before its move
    boot_id: str | None = None  # reboot: the boot id that is to end
    room_mib: int = 0  # move: what the guest takes at its destination, as last seen
    alarm_s: float | None = None  # move: running for longer is said, never ended
    guest_disks: tuple[Disk, ...] | None = None  # move: those that its destination was asked for
    guest_needs: tuple[str, ...] | None = None  # move: what its destination was seen to offer
    suspended_since: datetime | None = None  # move: its guest is seen to run on neither host
    suspended_alarm: bool = False  # move: that was said, as it lasted too long
    blackout: Blackout | None = None  # move that succeeded: how long the guest stood still
    arrived_domid: int | None = None  # move that succeeded: what a later look is compared with
    arrived_boot_id: str = ""
    build_from: str = ""  # move: the hypervisors that it leads between, when it was ordered
    build_to: str = ""
    payload: str | None = None  # live patch: its name, its file's digest, the build that it fits
    payload_sha256: str | None = None
    build_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will come of it any more."""
        return self.state in (StepState.DONE, StepState.FAILED, StepState.SKIPPED)

    def child(self, step_id: str, kind: Kind, host: str, **facts: Any) -> Step:
        """A step in no plan that looks after what this one left behind, or after its guest."""
        return Step(
            id=step_id,
            generation=self.generation,
            kind=kind,
            wave=self.wave,
            needs=(),
            host=host,
            parent=self.id,
            **facts,
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it touches."""
        return (self.host,) if self.destination is None else (self.host, self.destination)


class HostState(StrEnum):
    """Where a host stands in the rollout, one line of meaning each."""

    WAITING = "waiting"  # nothing has happened to it yet
    DRAINING = "draining"  # closed to new guests, being emptied
    REBOOTING = "rebooting"  # the reboot was ordered
    FIXED = "fixed"  # back, on an expected build, used again; or live-patched
    BLOCKED = "blocked"  # cannot be emptied; `reason` says why
    OPENED = "opened"  # left out by an abort, of the rollout or of the host: open again
    UNAFFECTED = "unaffected"  # needs no reboot


class Shown(Frozen):
    """What a host showed right before its reboot, or when it was back."""

    boot_id: str = ""
    build_id: str = ""
    livepatches: tuple[str, ...] = ()
    microcode: str = ""
    offers: tuple[str, ...] = ()


class HostRecord(Frozen):
    """One host of the rollout."""

    name: str
    pool: str
    group: str | None = None
    wave: int | None = None
    state: HostState = HostState.WAITING
    closed: bool = False
    since: datetime | None = None
    reason: str = ""
    silent: str = ""  # why nothing can be based on its report
    silent_since: datetime | None = None
    aside: Hold | None = None  # silent for too long: planned around until it is heard again
    reboots: int = 0
    choice: Choice | None = None  # what is done about it, and why
    no_livepatch: str = ""  # why no live patch is tried on it any more
    withheld: tuple[Withheld, ...] = ()  # live patches that a person had reverted on it
    boot_id: str = ""  # of the boot in which it was last known to be safe
    before: Shown | None = None  # its reboot
    after: Shown | None = None
    lacking: tuple[str, ...] = ()  # what it came back without
    lost: bool = False  # it did not come back from its reboot, and the rollout goes on without it
    dead: Hold | None = None  # who said that its power is cut, and why: it is lost, too
    undead: bool = False  # it was heard after that: the word counts no more
    wish: PartWish | None = None  # the last one that was taken up
    left_out: Hold | None = None  # the rollout goes on without it
    hooks: tuple[HookRun, ...] = ()  # the newest run of each stage
    stopped: Hold | None = None  # by a hook, until a person resumes or aborts it

    @property
    def paused(self) -> Hold | None:
        """The pause of a person, if there is one."""
        if self.wish is None or self.wish.wanted is not Wanted.PAUSE:
            return None
        return self.wish.hold(f"{self.name} is paused")

    @property
    def is_dead(self) -> bool:
        """Whether a person's word that it is dead holds."""
        return self.dead is not None and not self.undead

    @property
    def expected_silent(self) -> bool:
        """Whether nobody expects to hear from it now."""
        return self.lost or self.state is HostState.REBOOTING


class GuestRecord(Frozen):
    """A guest that something happened to."""

    name: str
    uuid: str | None = None
    guest_class: str | None = None
    host: str  # where it was last seen or sent
    moves: int = 0
    restarts: int = 0
    stayed: int = 0  # attempts after which it was still where it had been
    failures: int = 0  # those since its last move, whatever step and plan they were of
    rest_until: datetime | None = None  # back-off after the newest of them
    evacuation: str | None = None  # overrides the inventory for the rest of this rollout
    avoid: tuple[str, ...] = ()  # destinations that did not work out
    down: bool = False  # shut down by us, and not started again yet
    down_since: datetime | None = None
    crashed: bool = False
    quarantine: str = ""  # its class, while that is not to be moved
    owner: str = ""
    reason: str = ""
    notice_at: datetime | None = None  # when it was told what comes next
    notice_for: int = 0  # moves and restarts that it had behind it then
    alone_since: datetime | None = None  # it runs without xl's monitor (`scheduler.monitors`)


class Happening(Frozen):
    """One line of the rollout's event log."""

    at: datetime
    kind: str
    text: str
    step: str | None = None
    host: str | None = None
    guest: str | None = None
    due_at: datetime | None = None  # of a notice: when what it says is expected


@dataclass(frozen=True)
class Change:
    """What one call of `advance` wants: records to write, then things to do."""

    rollout: Rollout | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    hosts: dict[str, HostRecord] = field(default_factory=dict)
    guests: dict[str, GuestRecord] = field(default_factory=dict)
    waves: dict[int, WaveRecord] = field(default_factory=dict)
    happenings: tuple[Happening, ...] = ()
    orders: tuple[Order, ...] = ()  # written with the records, sent to RQ after that
    drops: tuple[tuple[str, str], ...] = ()  # (host, attempt id): orders that have had their day
    looks: tuple[str, ...] = ()  # hosts that are to look again before a step starts there
    disks: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (host, paths of disks to look at)
    notices: tuple[tuple[str, str, Notice | None], ...] = ()  # (host, guest, what); None: over

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        records = self.steps or self.hosts or self.guests or self.waves
        return bool(self.rollout or records or self.happenings or self.drops or self.notices)


def attempt_id(rollout_id: str, step_id: str, attempt: int) -> str:
    """The id of an attempt: the same step and number always give the same id."""
    return f"{rollout_id}-{step_id}-a{attempt}"
