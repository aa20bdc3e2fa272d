"""One rollout in memory: its records, and the indexes that make each event cheap.

A thousand hosts have twelve thousand steps; what can start next, and what is under way, is kept
up to date instead of searched for.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import copy

from agents.wire import Kind
from scheduler.rates import rate_mib_s
from scheduler.rollout import (
    UNDER_WAY,
    Change,
    GuestRecord,
    HostRecord,
    Rollout,
    Step,
    StepState,
)
from scheduler.waves import WaveRecord


class Book:
    """The records of one rollout, read by `advance`, changed only by `apply`."""

    def __init__(
        self,
        rollout: Rollout,
        steps: Mapping[str, Step],
        hosts: Mapping[str, HostRecord],
        guests: Mapping[str, GuestRecord],
        waves: Mapping[int, WaveRecord] | None = None,
    ) -> None:
        self.rollout = rollout
        self.steps = dict(steps)
        self.hosts = dict(hosts)
        self.guests = dict(guests)
        self.waves = dict(waves or {})
        self.under_way: set[str] = set()
        self.ready: set[str] = set()
        self.unfinished: set[str] = set()
        self.failed: set[str] = set()
        self.retuning: set[str] = set()
        self._open_needs: dict[str, int] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self.open_at: dict[str, set[str]] = defaultdict(set)  # host -> steps not ended, or failed
        self.rates_mib_s: list[float] = []  # of the moves that succeeded, the slowest first
        self._mends: dict[str, list[str]] = defaultdict(list)
        self._index(self.steps.values())

    def copy(self) -> Book:
        """Another Book of the same records, which are shared; a change to one leaves the other."""
        made = copy(self)
        for name, kept in vars(self).items():
            if isinstance(kept, dict | set | list):
                setattr(made, name, kept.copy())
        for lists in (made._dependents, made._mends):
            lists.update([(name, names.copy()) for name, names in lists.items()])
        made.open_at.update([(host, names.copy()) for host, names in made.open_at.items()])
        return made

    def apply(self, change: Change) -> None:
        """Take over what was written; the only place where a Book changes."""
        self.rollout = change.rollout or self.rollout
        self.hosts.update(change.hosts)
        self.guests.update(change.guests)
        self.waves.update(change.waves)
        new = [step for step in change.steps.values() if step.id not in self.steps]
        old = [(self.steps[s.id], s) for s in change.steps.values() if s.id in self.steps]
        self.steps.update(change.steps)
        for before, after in old:
            self._follow(before, after)
        self._index(new)  # last: what has just ended is no open need of a new step

    def _index(self, steps: Iterable[Step]) -> None:
        steps = list(steps)
        for step in steps:
            self._measure(step)
            if step.parent is not None:
                self._mends[step.parent].append(step.id)
            for need in step.needs:
                self._dependents[need].append(step.id)
            done = StepState.DONE
            self._open_needs[step.id] = sum(self.steps[n].state is not done for n in step.needs)
        for step in steps:
            self._place(step)

    def _measure(self, step: Step) -> None:
        rate = rate_mib_s(step)
        if rate is not None:
            insort(self.rates_mib_s, rate)

    def _follow(self, before: Step, after: Step) -> None:
        if after.state is StepState.DONE and before.state is not StepState.DONE:
            self._measure(after)
            for name in self._dependents[after.id]:
                self._open_needs[name] -= 1
                self._place(self.steps[name])
        self._place(after)

    def _place(self, step: Step) -> None:
        waiting = step.state is StepState.WAITING
        _keep(self.under_way, step.id, step.state in UNDER_WAY)
        _keep(self.ready, step.id, waiting and self._open_needs[step.id] == 0)
        unfinished = waiting or step.state in UNDER_WAY
        _keep(self.unfinished, step.id, unfinished)
        _keep(self.retuning, step.id, unfinished and step.kind is Kind.RETUNE)
        _keep(self.failed, step.id, step.state is StepState.FAILED and step.parent is None)
        for host in step.hosts:
            _keep(self.open_at[host], step.id, step.id in self.unfinished or step.id in self.failed)

    def startable(self) -> list[Step]:
        """Waiting steps whose needs have all ended, the plan's earliest first."""
        steps = [self.steps[name] for name in self.ready]
        return sorted(steps, key=lambda step: (step.planned_start_s, step.wave, step.id))

    def running(self) -> list[Step]:
        """Steps that an order is out for, or that are being settled or cleaned up after."""
        return [self.steps[name] for name in sorted(self.under_way)]

    def mends_of(self, step_id: str) -> list[Step]:
        """The clean-up steps of one step, old rounds included."""
        return [self.steps[name] for name in self._mends.get(step_id, ())]

    def children_done(self, step: Step) -> bool:
        """Whether every clean-up step of this step has ended, well or not."""
        return not any(
            s.state in UNDER_WAY or s.state is StepState.WAITING for s in self.mends_of(step.id)
        )

    def guest(self, name: str, host: str) -> GuestRecord:
        """The guest's record, or a fresh one where nothing has happened to it yet."""
        return self.guests.get(name) or GuestRecord(name=name, host=host)


def _keep(names: set[str], name: str, wanted: bool) -> None:
    if wanted:
        names.add(name)
    else:
        names.discard(name)
