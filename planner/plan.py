"""The plan: what is meant to happen, in which order, and what is not possible.

The nouns of the plan file ("xenroll.plan/1"). A plan says nothing about whether it is safe: that is
`planner.check.problems`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PLAN_FORMAT = "xenroll.plan/1"


class StepKind(StrEnum):
    """What a step does."""

    MOVE = "move"
    """Live migration of `guest` from `source` to `destination`."""
    STOP = "stop"
    """Shut `guest` down on `host`, when every move off the host has ended."""
    START = "start"
    """Start `guest` on `host` again, after the host's reboot."""
    REBOOT = "reboot"
    """Reboot `host`, which is empty; ends when it is back and verified."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. Starts when every step whose id is in `needs` has ended.

    `start_s` and `end_s` are the estimate, in seconds from the start of the rollout. A move has
    `guest`, `source` and `destination`; stop and start have `guest` and `host`; a reboot `host`.
    """

    id: str
    kind: StepKind
    wave: int
    needs: tuple[str, ...]
    start_s: float
    end_s: float
    guest: str | None = None
    source: str | None = None
    destination: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """Hosts whose reboots belong together; at a gate everything later waits for all of them."""

    number: int
    hosts: tuple[str, ...]
    gate: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a host cannot be emptied: because of this guest, or (None) for want of room."""

    guest: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """A host that should reboot and cannot be emptied."""

    host: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the steps add up to, beside what no plan can go below.

    The classes are those of the guests that the first wave puts to the test, and those that it
    does not.
    """

    moves: int
    moves_lower_bound: int
    makespan_s: float
    makespan_lower_bound_s: float
    hosts_rebooted: int
    hosts_blocked: int
    guests_moved: int
    guests_restarted: int
    planning_s: float
    classes_covered: tuple[str, ...] = ()
    classes_not_covered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a rollout will do to the fleet whose file has this SHA-256 (in hex)."""

    fleet_sha256: str
    waves: tuple[Wave, ...]
    steps: tuple[Step, ...]
    blocked: tuple[Blocked, ...]
    summary: Summary


class PlanError(Exception):
    """The bytes are no plan file; `problems` has a line for each reason, `more` counts the rest."""

    def __init__(self, problems: Sequence[str], more: int = 0) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
        self.more = more


def plan_json(plan: Plan) -> bytes:
    """The plan file's bytes: one JSON object, each step with the fields of its kind only."""
    # Only who reads and writes files pays for the codec; an agent needs the nouns alone.
    from planner.plan_file import dump_plan

    return dump_plan(plan)


def load_plan(data: bytes) -> Plan:
    """The plan that a plan file's bytes describe.

    Raises PlanError with a line for each problem, such as `steps[4].wave: expected an integer`.
    """
    from planner.plan_file import read_plan

    return read_plan(data)
