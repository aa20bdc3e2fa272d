"""What crosses between dom0 and the control nodes: orders and reports (keys: `agents.keys`).

Every host writes one key, its *report*: what it sees, and how far each ordered attempt has come.
The controller writes *orders* for a host and a *control* record for each rollout; a host only reads
those. Nothing else is shared, so a host's Redis user needs its own keys alone.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from agents.blackout import Blackout
from agents.wire_base import Name as Name
from agents.wire_base import Wire as Wire
from agents.wire_disk import Disk as Disk
from agents.wire_disk import DiskFound as DiskFound

AttemptId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,160}$")]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]

PayloadName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,126}$")]
Cpus = Annotated[
    str,
    StringConstraints(
        pattern=r"^(all|none|[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*)$",
        max_length=2000,
    ),
]
"""CPUs as xl prints them and takes them: `all`, `none`, `0-3,8`."""

PoolName = Annotated[str, StringConstraints(pattern=r"^[^-\s]\S*$", max_length=255)]


class Kind(StrEnum):
    """What a step does; `mend` cleans up what an attempt left behind, `retune` gives a guest that
    has moved the share of the CPUs that it had, `revert` takes a live patch back."""

    MOVE = "move"
    STOP = "stop"
    START = "start"
    REBOOT = "reboot"
    LIVEPATCH = "livepatch"
    MEND = "mend"
    RETUNE = "retune"
    REVERT = "revert"


class MendAction(StrEnum):
    """The only clean-ups there are; each is checked again on the host right before it runs."""

    DESTROY_SOURCE = "destroy_source"  # NAME--migratedaway, suspended, while NAME runs elsewhere
    DESTROY_INCOMING = "destroy_incoming"  # NAME--incoming, paused, that never ran
    RESUME_SOURCE = "resume_source"  # rename back and resume: the destination has nothing
    UNPAUSE = "unpause"  # NAME arrived paused and the source holds no copy that runs


class Tuning(Wire):
    """How a guest shares its host's CPUs, as `xl` shows it. None: not known."""

    pool: PoolName | None = None
    scheduler: Literal["credit", "credit2"] | None = None  # of that pool
    weight: int | None = Field(default=None, ge=1, le=65535)
    cap: int | None = Field(default=None, ge=0)  # percent of one CPU; 0: none
    online_vcpus: int = Field(ge=0)
    hard: tuple[Cpus, ...] = ()  # for each vCPU; empty: all CPUs for all of them
    soft: tuple[Cpus, ...] | None = ()  # None: libxl may have chosen it, by the host's memory


class Order(Wire):
    """One attempt at one step, for one host. Written by the controller, read by that host."""

    schema_version: Literal[1] = 1  # a reader refuses a number that it does not know
    attempt_id: AttemptId
    rollout_id: AttemptId
    step_id: AttemptId
    epoch: int = Field(ge=1)  # fences orders of an older life of the rollout
    kind: Kind
    wave: int | None = Field(default=None, ge=1)  # a pause of this wave holds it
    host: Name  # who carries it out (the source of a move)
    guest: Name | None = None
    guest_uuid: Uuid | None = None
    guest_memory_mib: int | None = Field(default=None, ge=0)  # with overhead: room needed there
    destination: Name | None = None
    destination_address: Name | None = None  # what `xl migrate` is given as host
    boot_id: str | None = None  # reboot: the boot id that is to end
    build_ids: tuple[str, ...] = ()  # reboot: hypervisor builds that count as fixed
    moved_away: tuple[Name, ...] = ()  # reboot: guests that other hosts show, not this one
    mend: MendAction | None = None
    domid: int | None = Field(default=None, ge=1)  # mend, retune: the domain it was decided for
    tuning: Tuning | None = None  # retune: what the guest had before its move
    guest_disks: tuple[Disk, ...] | None = None  # move: those that the destination was asked for
    guest_needs: tuple[str, ...] | None = None  # move: what it was seen to offer
    payload: PayloadName | None = None  # live patch, revert: its name; the file is NAME.livepatch
    payload_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    soft_deadline_s: float = Field(default=1800.0, gt=0)  # passes: an alarm, never a kill


class AttemptState(StrEnum):
    """How far an attempt has come, by the host's own journal."""

    REFUSED = "refused"  # a gate or the control record said no: nothing was started
    RUNNING = "running"  # started, and its command (or our supervisor) lives
    ENDED = "ended"  # the command ended, its exit code is known
    UNKNOWN = "unknown"  # started, nobody lives, no exit code: only a look can tell


class RefusalCode(StrEnum):
    """Why an attempt was not started, in the words that the controller acts on."""

    PAUSED = "paused"
    ABORTED = "aborted"
    STALE = "stale"  # an older epoch
    REVOKED = "revoked"  # the order is gone
    GATE = "gate"  # a check on this host failed; `reason` says which
    BUSY = "busy"  # another attempt holds this guest or host
    UNREADABLE = "unreadable"  # xl could not be read: doubt


class Attempt(Wire):
    """What a host says of one attempt, from its journal."""

    attempt_id: AttemptId
    kind: Kind
    state: AttemptState
    refusal: RefusalCode | None = None
    reason: str = Field(default="", max_length=2000)
    guest: Name | None = None
    guest_uuid: Uuid | None = None
    domid: int | None = None  # at the start of the attempt
    boot_id: str = ""  # of the host when the attempt started
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    bytes_sent: int | None = None  # by the transport so far
    output_tail: str = Field(default="", max_length=8000)  # stderr of the command
    tuning: Tuning | None = None  # move: what the guest had right before it
    blackout: Blackout | None = None  # move that arrived: how long the guest stood still


class Domain(Wire):
    """One row of `xl list -v`, Domain-0 included."""

    domid: int
    name: str
    uuid: str
    memory_mib: int
    vcpus: int
    state: str  # six characters, as xl prints them
    cpu_time_s: float


class ObstacleCode(StrEnum):
    """What makes a guest unmigratable or risky, as dom0 sees it (facts of `xl list -l`)."""

    PCI = "pci"
    HOST_DEVICE = "host_device"
    NESTED = "nested"
    NOMIGRATE = "nomigrate"
    VNUMA = "vnuma"
    STUBDOMAIN = "stubdomain"
    DRIVER_DOMAIN = "driver_domain"
    VTPM = "vtpm"
    LOCAL_DISK = "local_disk"
    NO_LOGDIRTY = "no_logdirty"  # a PV guest on a hypervisor without shadow paging
    CANNOT_SUSPEND = "cannot_suspend"
    PAUSED = "paused"
    NOT_RUNNING = "not_running"  # shut down, crashed, suspended, dying
    BALLOONING = "ballooning"
    UNREADABLE = "unreadable"  # in `xl list`, but its configuration cannot be read


class Obstacle(Wire):
    """Why a guest cannot be moved now; `lasting` tells whether waiting could help."""

    code: ObstacleCode
    text: str = Field(max_length=500)
    lasting: bool


class GuestSeen(Wire):
    """A guest on this host, with what the planner needs to know of it."""

    name: Name
    uuid: Uuid
    domid: int
    type: Literal["pv", "hvm", "pvh"]
    vcpus: int
    memory_mib: int  # what a migration copies, rounded up
    overhead_mib: int  # what it takes beyond that on a host
    needs: tuple[str, ...] = ()  # `bridge:xenbr0`, `storage:…`, `pvh`
    guest_class: str | None = None
    state: str = ""
    obstacles: tuple[Obstacle, ...] = ()
    tuning: Tuning | None = None  # read where the set of guests changed, or a look was asked for
    config_path: str | None = None  # what `xl create` is given to start it again
    autostart: bool = False
    cpu_levelled: bool = False  # it uses fewer CPU features than its host has
    net_bytes: int | None = None  # through its network interfaces, both ways; None: not known
    console_bytes: int | None = None  # in the log of its console
    disks: tuple[Disk, ...] | None = None  # None: its agent does not tell
    monitored: bool | None = None  # xl waits for its end; None: nobody can tell


class LeftoverKind(StrEnum):
    """What an attempt, or a crash, can leave behind on a host."""

    INCOMING = "incoming"  # NAME--incoming
    MIGRATEDAWAY = "migratedaway"  # NAME--migratedaway
    ZOMBIE = "zombie"  # dying, or without a name
    CRASHED = "crashed"  # preserved after a crash
    SUSPENDED = "suspended"  # suspended under its own name: mid-move, or stranded


class Leftover(Wire):
    """A domain that is no running guest."""

    kind: LeftoverKind
    domid: int
    name: str  # without the suffix
    uuid: str
    state: str
    cpu_time_s: float
    memory_mib: int


class DomainEnd(Wire):
    """A domain that ended on this host since its boot, by xl's log of it."""

    domid: int
    name: str
    reason_code: int  # Xen's: 0 power off, 1 reboot, 2 suspend, 3 crash, 4 watchdog, 5 soft reset


class BootStart(Wire):
    """Something that would start a guest when this host boots."""

    kind: Literal["autostart", "saved_image", "service"]
    text: str = Field(max_length=500)


class Report(Wire):
    """One look at one host. A report with `trouble` is no ground for any step."""

    schema_version: Literal[1] = 1  # a reader refuses a number that it does not know
    host: Name
    agent_version: str
    agent_id: str  # of this life of the agent
    sequence: int  # grows by one with every report of this life
    answers: int  # the look that was wanted when this look began (see keys.look)
    taken_at: datetime  # when the look began, by this host's clock
    boot_id: str
    xen_version: str = ""  # "4.17.7"
    build_id: str = ""
    livepatches: tuple[str, ...] = ()  # applied, in order
    payloads: dict[str, str] | None = None  # files that could be loaded: name -> SHA-256
    reverts: bool = False  # its agent knows how to take a live patch back
    cpu_vendor: str = ""  # "GenuineIntel"
    cpu_signature: str = ""  # family-model-stepping in hexadecimal: "06-55-07"
    microcode: str = ""  # the lowest revision of all CPUs: "0x5003604"
    memory_total_mib: int = 0
    memory_free_mib: int = 0
    cpus: int = 0
    domains: tuple[Domain, ...] = ()
    guests: tuple[GuestSeen, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    boot_starts: tuple[BootStart, ...] = ()
    put_aside: tuple[str, ...] = ()  # links that would have started guests that moved away
    endings: tuple[DomainEnd, ...] = ()  # of guests that were seen here; the newest last
    offers: tuple[str, ...] = ()
    receiving: int = 0  # `xl migrate-receive` processes that live
    attempts: tuple[Attempt, ...] = ()
    disks: tuple[DiskFound, ...] | None = None  # asked for; None: its agent does not answer that
    trouble: tuple[str, ...] = ()

    @property
    def build(self) -> str:
        """The hypervisor that runs, short enough for a table: `4.17.5 ab12cd34ef56`."""
        return f"{self.xen_version} {self.build_id[:12]}".strip()

    @property
    def xen(self) -> str:
        """The version as `major.minor`, or an empty text where it was not read."""
        return ".".join(self.xen_version.split(".")[:2])


class Wanted(StrEnum):
    """What a person wants of a rollout; a host starts steps only under `run`."""

    RUN = "run"
    PAUSE = "pause"
    ABORT = "abort"
