"""What the checker works on: a problem, and a fleet and a plan by number instead of by name.

The checker shares nothing with the solver, so that one mistake cannot hide in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from planner.fleet import Evacuation, Fleet, Guest, Host
from planner.plan import Plan, Step, StepKind

NONE = -1
"""No step, no host: where a number is expected."""

TOLERANCE_S = 0.01
"""Estimates that differ by less are the same: files round their figures."""


class Rule(StrEnum):
    """What a plan breaks: a rule of the plan format by its number, or a part of the file."""

    FORM = "form"
    """Names and ids of the plan mean something, each once, and `needs` has no circle."""
    REBOOTS = "1"
    """Every host that has to reboot does so once, or is blocked with reasons."""
    EMPTY = "2"
    """A host holds no guest at its reboot, in every order."""
    ROOM = "3"
    """Memory, vCPUs and `apart` hold on every host at every moment, in every order."""
    PATH = "4"
    """A move goes from where the guest is to a host that may take it, in every order."""
    UNTOUCHED = "5"
    """A hold guest is left alone; only a restart guest is stopped, and it is never moved."""
    ESTIMATE = "6"
    """By the estimate: durations, limits of moves and of hosts away."""
    WAVES = "waves"
    """Waves hold the rebooted hosts, steps are in the right one, gates hold in every order."""
    SUMMARY = "summary"
    """The summary and the fleet's checksum tell the truth."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a plan is wrong, and the step, host and guest that it is about."""

    rule: Rule
    text: str
    step: str | None = None
    host: str | None = None
    guest: str | None = None

    def __str__(self) -> str:
        rule = f"rule {self.rule}" if self.rule.isdigit() else str(self.rule)
        about = [
            f"{what} {name!r}"
            for what, name in (("step", self.step), ("host", self.host), ("guest", self.guest))
            if name is not None
        ]
        return f"{rule}: {', '.join(about)}{': ' if about else ''}{self.text}"


@dataclass(frozen=True, slots=True)
class Stay:
    """A guest on a host from the start of `incoming` (NONE: from the beginning) to the end of
    `outgoing` (NONE: for good)."""

    guest: int
    host: int
    incoming: int
    outgoing: int


class View:
    """A fleet and a plan whose form is right (`check_form`), by number.

    `order` is one order of the steps that keeps `needs`.
    """

    def __init__(self, fleet: Fleet, plan: Plan, order: list[int]) -> None:
        self.fleet, self.plan, self.order = fleet, plan, order
        self.position = [0] * len(order)
        for position, step in enumerate(order):
            self.position[step] = position
        self.hosts: tuple[Host, ...] = fleet.hosts
        self.guests: tuple[Guest, ...] = fleet.guests
        self.steps: tuple[Step, ...] = plan.steps
        self.host_number = {host.name: number for number, host in enumerate(fleet.hosts)}
        self.guest_number = {guest.name: number for number, guest in enumerate(fleet.guests)}
        step_number = {step.id: number for number, step in enumerate(plan.steps)}
        self.needs = [[step_number[need] for need in step.needs] for step in plan.steps]
        self.guest = [self.guest_number.get(step.guest or "", NONE) for step in plan.steps]
        self.source = [self.host_number.get(step.source or "", NONE) for step in plan.steps]
        self.target = [self.host_number.get(step.destination or "", NONE) for step in plan.steps]
        self.host = [self.host_number.get(step.host or "", NONE) for step in plan.steps]
        self.restarts = [guest.evacuation is Evacuation.RESTART for guest in fleet.guests]
        self.home = [self.host_number[guest.host] for guest in fleet.guests]

    def of_kind(self, *kinds: StepKind) -> Iterator[int]:
        """The steps of these kinds, in an order that keeps `needs`."""
        return (number for number in self.order if self.steps[number].kind in kinds)

    @cached_property
    def moves(self) -> list[int]:
        """Every move."""
        return list(self.of_kind(StepKind.MOVE))

    @cached_property
    def reboot_of(self) -> list[int]:
        """Of each host, the step that reboots it (the last one, should there be several)."""
        found = [NONE] * len(self.hosts)
        for number in self.of_kind(StepKind.REBOOT):
            found[self.host[number]] = number
        return found

    @cached_property
    def routes(self) -> dict[int, list[int]]:
        """Of each guest that moves, its moves, in an order that keeps `needs`."""
        found: dict[int, list[int]] = {}
        for number in self.moves:
            found.setdefault(self.guest[number], []).append(number)
        return found

    @cached_property
    def blocked(self) -> set[int]:
        """The hosts that the plan calls blocked."""
        return {self.host_number[blocked.host] for blocked in self.plan.blocked}

    def stays(self, leave_out: Iterable[int]) -> list[list[Stay]]:
        """Of each host, which guests are there from when to when; some guests left out."""
        out = set(leave_out)
        found: list[list[Stay]] = [[] for _ in self.hosts]
        for guest, home in enumerate(self.home):
            if guest in out:
                continue
            host, incoming = home, NONE
            for move in self.routes.get(guest, ()):
                found[host].append(Stay(guest, host, incoming, move))
                host, incoming = self.target[move], move
            found[host].append(Stay(guest, host, incoming, NONE))
        return found
