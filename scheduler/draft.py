"""A Change in the making: the one gate through which records pass from state to state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from agents.notices import Notice
from agents.wire import Order
from scheduler.book import Book
from scheduler.rollout import (
    NEXT,
    STEP_NEXT,
    Change,
    GuestRecord,
    Happening,
    Hold,
    HostRecord,
    HostState,
    Rollout,
    RolloutState,
    Step,
    StepState,
)
from scheduler.waves import WaveRecord


class NotAllowed(Exception):
    """A state was to follow another that it may not follow; a defect of the program."""


class Draft:
    """Collects what one call of `advance` changes; reads through to the Book underneath."""

    def __init__(self, book: Book, now: datetime) -> None:
        self.book = book
        self.now = now
        self.steps: dict[str, Step] = {}
        self.hosts: dict[str, HostRecord] = {}
        self.guests: dict[str, GuestRecord] = {}
        self.waves: dict[int, WaveRecord] = {}
        self._rollout: Rollout | None = None
        self._happenings: list[Happening] = []
        self._orders: list[Order] = []
        self._drops: list[tuple[str, str]] = []
        self._looks: dict[str, None] = {}
        self._disks: list[tuple[str, tuple[str, ...]]] = []
        self.notices: list[tuple[str, str, Notice | None]] = []

    @property
    def rollout(self) -> Rollout:
        """The head as it will be."""
        return self._rollout or self.book.rollout

    def step(self, step_id: str) -> Step:
        """A step as it will be."""
        return self.steps.get(step_id) or self.book.steps[step_id]

    def guest(self, name: str, host: str) -> GuestRecord:
        """A guest's record as it will be."""
        return self.guests.get(name) or self.book.guest(name, host)

    def host(self, name: str) -> HostRecord:
        """A host's record as it will be."""
        return self.hosts.get(name) or self.book.hosts[name]

    def wave(self, number: int) -> WaveRecord | None:
        """A wave's record as it will be; None in a rollout that began without such records."""
        return self.waves.get(number) or self.book.waves.get(number)

    def put_wave(self, wave: WaveRecord, **updates: Any) -> WaveRecord:
        """Change a wave's record, or begin one."""
        after = wave.model_copy(update=updates)
        if after != self.wave(wave.number):
            self.waves[wave.number] = after
        return after

    def put_step(self, step: Step, state: StepState | None = None, **updates: Any) -> Step:
        """Change a step; a new state has to be one that may follow (else NotAllowed)."""
        if state is not None and state is not step.state:
            if state not in STEP_NEXT[step.state]:
                raise NotAllowed(f"step {step.id}: {step.state} -> {state}")
            updates["state"] = state
        self.steps[step.id] = step.model_copy(update=updates)
        return self.steps[step.id]

    def add_step(self, step: Step) -> None:
        """Add a step that did not exist before."""
        self.steps[step.id] = step

    def put_host(self, name: str, state: HostState | None = None, **updates: Any) -> None:
        """Change a host's record."""
        host = self.host(name)
        if state is not None and state is not host.state:
            updates |= {"state": state, "since": self.now}
        if updates:
            self.hosts[name] = host.model_copy(update=updates)

    def put_guest(self, name: str, seen_on: str, /, **updates: Any) -> GuestRecord:
        """Change a guest's record, or begin one."""
        self.guests[name] = self.guest(name, seen_on).model_copy(update=updates)
        return self.guests[name]

    def put_rollout(self, state: RolloutState | None = None, **updates: Any) -> None:
        """Change the head; a new state has to be one that may follow (`NEXT`), else NotAllowed."""
        if state is not None and state is not self.rollout.state:
            if state not in NEXT[self.rollout.state]:
                raise NotAllowed(f"rollout {self.rollout.id}: {self.rollout.state} -> {state}")
            updates["state"] = state
        self._rollout = self.rollout.model_copy(update=updates)

    def held(self, reason: str, by: str) -> Hold:
        """A hold from now on; the same reason keeps its first time."""
        before = self.rollout.hold
        if before and (before.reason, before.by) == (reason, by):
            return before
        return Hold(reason=reason, since=self.now, by=by)

    def say(self, kind: str, text: str, step: Step | None = None, **about: Any) -> None:
        """Add a line to the event log; `about` are fields of Happening."""
        if step is not None:
            about = {"step": step.id, "host": step.host, "guest": step.guest} | about
        self._happenings.append(Happening(at=self.now, kind=kind, text=text, **about))

    def order(self, order: Order) -> None:
        """Write an order down for its host; it is sent after the records are safe."""
        self._orders.append(order)

    def drop(self, host: str, attempt_id: str) -> None:
        """Take an order off its host's list: what it did is settled."""
        self._drops.append((host, attempt_id))

    def look(self, hosts: Iterable[str]) -> None:
        """Ask these hosts to look again: a step waits for it."""
        self._looks.update(dict.fromkeys(hosts))

    def look_for(self, disks: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Ask hosts to look at these paths too: a move waits for it."""
        found = tuple(disks)
        self._disks += found
        self.look(host for host, _ in found)

    def look_for_later(self, disks: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Have these paths looked at with whichever look comes next; nothing waits for it yet."""
        self._disks += disks

    def change(self) -> Change:
        """What came together."""
        return Change(
            rollout=self._rollout,
            steps=self.steps,
            hosts=self.hosts,
            guests=self.guests,
            waves=self.waves,
            happenings=tuple(self._happenings),
            orders=tuple(self._orders),
            drops=tuple(self._drops),
            looks=tuple(self._looks),
            disks=tuple(self._disks),
            notices=tuple(self.notices),
        )
