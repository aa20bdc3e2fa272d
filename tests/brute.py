"""Plays a tiny plan in every order of its steps' starts and ends, and notes what goes wrong.

Written from the plan format alone: it has no idea of ancestors, stays or flows, it only looks at
the fleet as it stands at each moment. That makes it slow (three to the power of the steps) and
easy to believe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.check import Rule
from planner.fleet import Evacuation, Fleet, Guest
from planner.plan import Plan, Step, StepKind

Finding = tuple[Rule, str]
"""The rule that is broken, and the host (rules 2, 3), the step (rule 4) or "" (gates)."""


@dataclass(frozen=True)
class Moment:
    """Which steps have started and ended, and where each guest is that does not move right now."""

    started: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    where: tuple[tuple[str, str], ...] = ()

    @property
    def running(self) -> frozenset[str]:
        return self.started - self.ended


@dataclass
class Played:
    """What went wrong in some order; `lost` are guests that a move looked for in vain."""

    found: set[Finding] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def play(fleet: Fleet, plan: Plan) -> Played:
    """Every order, from every moment that can be reached."""
    table = _Table(fleet, plan)
    played = Played()
    first = Moment(where=tuple((guest.name, guest.host) for guest in fleet.guests))
    todo, seen = [first], {first}
    while todo:
        moment = todo.pop()
        for after in table.moments_after(moment, played):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return played


class _Table:
    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        self.fleet, self.plan = fleet, plan
        self.steps = {step.id: step for step in plan.steps}
        self.hosts = {host.name: host for host in fleet.hosts}
        self.guests = {guest.name: guest for guest in fleet.guests}

    def moments_after(self, now: Moment, played: Played) -> Iterator[Moment]:
        for step in self.plan.steps:
            if step.id in now.running:
                yield self._ended(now, step)
            elif step.id not in now.started and now.ended.issuperset(step.needs):
                lost = self._lost(now, step)
                if lost:
                    played.lost.add(lost)
                    continue
                played.found.update(self._wrong_at_start(now, step))
                yield Moment(now.started | {step.id}, now.ended, now.where)

    def _ended(self, now: Moment, step: Step) -> Moment:
        where = dict(now.where)
        if step.kind is StepKind.MOVE:
            where[str(step.guest)] = str(step.destination)
        return Moment(now.started, now.ended | {step.id}, tuple(where.items()))

    def _lost(self, now: Moment, step: Step) -> str | None:
        if step.kind is not StepKind.MOVE:
            return None
        flying = any(self._of(other, StepKind.MOVE, step.guest) for other in now.running)
        at = dict(now.where)[str(step.guest)]
        return str(step.guest) if flying or at != step.source else None

    def _of(self, step_id: str, kind: StepKind, guest: str | None) -> bool:
        return self.steps[step_id].kind is kind and self.steps[step_id].guest == guest

    def _wrong_at_start(self, now: Moment, step: Step) -> Iterator[Finding]:
        if step.kind is StepKind.MOVE:
            yield from self._wrong_move(now, step)
        elif step.kind is StepKind.REBOOT:
            yield from self._wrong_reboot(now, step)
        elif step.kind is StepKind.STOP:
            if any(self.steps[other].source == step.host for other in now.running):
                yield Rule.EMPTY, str(step.host)
        elif not self._is_back(now, step.host):
            yield Rule.EMPTY, str(step.host)
        if not all(self._is_back(now, host) for host in self._behind_gates(step)):
            yield Rule.WAVES, ""

    def _behind_gates(self, step: Step) -> list[str]:
        gated = [wave for wave in self.plan.waves[:-1] if wave.gate and wave.number < step.wave]
        return [host for wave in gated for host in wave.hosts]

    def _reboot(self, host: str | None) -> Step | None:
        of_host = (s for s in self.plan.steps if s.kind is StepKind.REBOOT and s.host == host)
        return next(of_host, None)

    def _is_back(self, now: Moment, host: str | None) -> bool:
        reboot = self._reboot(host)
        return reboot is not None and reboot.id in now.ended

    def _present(self, now: Moment, host: str | None) -> set[str]:
        """Guests on the host, and on their way to it or from it."""
        there = {guest for guest, at in now.where if at == host}
        coming = (self.steps[s] for s in now.running if self.steps[s].destination == host)
        return there | {str(step.guest) for step in coming}

    def _wrong_reboot(self, now: Moment, step: Step) -> Iterator[Finding]:
        for name in self._present(now, step.host):
            guest = self.guests[name]
            restarts = guest.evacuation is Evacuation.RESTART and guest.host == step.host
            if not restarts or not self._is_down(now, name):
                yield Rule.EMPTY, str(step.host)

    def _is_down(self, now: Moment, guest: str) -> bool:
        stopped = any(self._of(step, StepKind.STOP, guest) for step in now.ended)
        return stopped and not any(self._of(step, StepKind.START, guest) for step in now.started)

    def _wrong_move(self, now: Moment, step: Step) -> Iterator[Finding]:
        yield from ((Rule.EMPTY, host) for host in self._closed_hosts(now, step))
        if not self._may_take(now, step):
            yield Rule.PATH, step.id
        present = self._present(now, step.destination)
        if step.guest not in present and not self._fits(step, present):
            yield Rule.ROOM, str(step.destination)

    def _closed_hosts(self, now: Moment, step: Step) -> Iterator[str]:
        for host in (str(step.source), str(step.destination)):
            reboot = self._reboot(host)
            if reboot is not None and reboot.id in now.running:
                yield host
        source = str(step.source)
        if self._reboot(source) is not None and not self._is_back(now, source):
            for other in now.started:
                if self.steps[other].kind is StepKind.STOP and self.steps[other].host == source:
                    yield source

    def _may_take(self, now: Moment, step: Step) -> bool:
        source, target = self.hosts[str(step.source)], self.hosts[str(step.destination)]
        guest = self.guests[str(step.guest)]
        if source is target or source.pool != target.pool:
            return False
        if not set(guest.needs) <= set(target.offers):
            return False
        back = self._is_back(now, source.name)
        if back and target.reboot and not self._is_back(now, target.name):
            return False
        return self._xen(now, target.name) >= self._xen(now, source.name)

    def _xen(self, now: Moment, host: str) -> tuple[int, ...]:
        after = self.fleet.policy.xen_after
        xen = after if after is not None and self._is_back(now, host) else self.hosts[host].xen
        return tuple(int(part) for part in xen.split("."))

    def _fits(self, step: Step, present: set[str]) -> bool:
        policy, host = self.fleet.policy, self.hosts[str(step.destination)]
        coming = self.guests[str(step.guest)]
        guests = [coming, *(self.guests[name] for name in present)]
        if sum(map(_room_mib, guests)) > policy.max_fill * host.memory_mib + 1e-6:
            return False
        if sum(guest.vcpus for guest in guests) > policy.vcpus_per_cpu * host.cpus + 1e-6:
            return False
        return not any(set(coming.apart) & set(other.apart) for other in guests[1:])


def _room_mib(guest: Guest) -> int:
    return guest.memory_mib + guest.overhead_mib
