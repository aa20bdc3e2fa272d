"""The fleet as it was seen, and the limits to keep: the fleet file's nouns.

Field names, units, defaults and ranges are those of the fleet file ("xenroll.fleet/1"). A Fleet
from `load_fleet` names only hosts that exist, names each host and guest once, and holds no host
whose guests take more memory than it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, StringConstraints

from planner.ranges import (
    CPUS,
    MEMORY_MIB,
    NAME_PATTERN,
    VCPUS,
    XEN_PATTERN,
    rfc3339,
)

FLEET_FORMAT = "xenroll.fleet/1"

# One MiB is 2**20 bytes of 8 bits; a stream of 1 Mbit/s carries 10**6 bits in a second.
MEGABITS_PER_MIB = 8.388608

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
XenVersion = Annotated[str, StringConstraints(pattern=XEN_PATTERN)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**9)]


class Evacuation(StrEnum):
    """What is done with a guest whose host has to reboot."""

    MOVE = "move"
    """It is live-migrated to another host."""
    RESTART = "restart"
    """It is shut down for its host's reboot and started there again."""
    HOLD = "hold"
    """It is left alone, which blocks its host."""


class Gates(StrEnum):
    """After which waves everything waits until all of the wave's hosts are back."""

    CANARY = "canary"
    EVERY = "every"
    NONE = "none"


class _Seen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
    )


class Policy(_Seen):
    """The limits that a plan keeps and the durations that its estimate uses."""

    vcpus_per_cpu: float = Field(default=4.0, gt=0, le=1e6)
    max_moves_out_per_host: AtLeastOne = 2
    max_moves_in_per_host: AtLeastOne = 2
    max_hosts_away: AtLeastOne | None = None
    """None: a tenth of the hosts to reboot; see `Fleet.max_hosts_away`."""
    max_hosts_away_per_group: AtLeastOne | None = None
    xen_after: XenVersion | None = None
    """None: a host runs the same Xen after its reboot."""
    move_setup_s: Seconds = 4.0
    stream_mbps: float = Field(default=4000.0, gt=0, le=1e12)
    dirty_factor: float = Field(default=1.15, gt=0, le=1e6)
    reboot_s: Seconds = 420.0
    stop_s: Seconds = 30.0
    start_s: Seconds = 30.0
    max_fill: float = Field(default=1.0, gt=0, le=1)
    extra_moves: float = Field(default=0.02, ge=0, le=1e6)
    canary_hosts: int = Field(default=1, ge=0, le=10**9)
    wave_hosts: AtLeastOne = 50
    gates: Gates = Gates.CANARY

    def move_s(self, memory_mib: int) -> float:
        """Seconds that the migration of a guest with this much memory lasts, by the estimate."""
        megabits = memory_mib * MEGABITS_PER_MIB * self.dirty_factor
        return self.move_setup_s + megabits / self.stream_mbps


class Host(_Seen):
    """A machine that runs guests; memory and CPUs without Xen's and dom0's share."""

    name: Name
    pool: Name = "default"
    group: Name | None
    memory_mib: int = Field(ge=MEMORY_MIB[0], le=MEMORY_MIB[1])
    cpus: float = Field(ge=CPUS[0], le=CPUS[1])
    xen: XenVersion
    reboot: bool
    offers: tuple[Name, ...]


class Guest(_Seen):
    """A domU and what it takes to put it elsewhere."""

    name: Name
    uuid: Name | None = None
    host: Name
    vcpus: int = Field(ge=VCPUS[0], le=VCPUS[1])
    memory_mib: int = Field(ge=MEMORY_MIB[0], le=MEMORY_MIB[1])
    overhead_mib: int = Field(default=0, ge=MEMORY_MIB[0], le=MEMORY_MIB[1])
    needs: tuple[Name, ...]
    apart: tuple[Name, ...]
    guest_class: Name | None = Field(default=None, alias="class")
    evacuation: Evacuation

    @property
    def room_mib(self) -> int:
        """Memory that it takes on a host: its own and the overhead, in MiB."""
        return self.memory_mib + self.overhead_mib


class Fleet(_Seen):
    """Every host and guest, and the policy; nothing refers to what is not here."""

    format: Literal["xenroll.fleet/1"] = "xenroll.fleet/1"
    taken_at: Annotated[str, AfterValidator(rfc3339)]
    policy: Policy
    hosts: Annotated[tuple[Host, ...], FailFast()]
    guests: Annotated[tuple[Guest, ...], FailFast()]

    @property
    def max_hosts_away(self) -> int:
        """Hosts that may reboot at the same time: the policy's, or a tenth of those to reboot."""
        if self.policy.max_hosts_away is not None:
            return self.policy.max_hosts_away
        return -(-sum(host.reboot for host in self.hosts) // 10)


class FleetError(Exception):
    """The fleet file is not one that can be planned; `problems` has a line for each reason.

    At most `planner.ranges.LISTED` are listed. `more` counts others that were found; where
    `all_seen` is false the file was not read to its end, and there may be still more.
    """

    def __init__(self, problems: Sequence[str], more: int = 0, all_seen: bool = True) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
        self.more = more
        self.all_seen = all_seen


def load_fleet(data: bytes) -> Fleet:
    """The fleet that a fleet file's bytes describe.

    Raises FleetError with a line for each problem, such as `guests[17].host: no host "x9"`.
    """
    # Only who reads files pays for the reader; an agent needs the nouns alone.
    from planner.fleet_read import read_fleet

    return read_fleet(data)
