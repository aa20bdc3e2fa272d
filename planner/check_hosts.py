"""Rules 1, 2 and 5: which hosts reboot, that they are empty then, and who is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.check_order import Before, Group
from planner.check_view import NONE, Problem, Rule, Stay, View
from planner.fleet import Evacuation
from planner.plan import StepKind


def reboot_problems(view: View) -> Iterator[Problem]:
    """Rule 1: each host to reboot does so exactly once, or is blocked with reasons."""
    reboots = Counter(view.host[step] for step in view.of_kind(StepKind.REBOOT))
    blocked = Counter(blocked.host for blocked in view.plan.blocked)
    for number, host in enumerate(view.hosts):
        count, is_blocked = reboots[number], blocked[host.name] > 0
        if blocked[host.name] > 1:
            yield Problem(Rule.REBOOTS, "stands in blocked more than once", host=host.name)
        if not host.reboot and (count or is_blocked):
            what = "is rebooted" if count else "stands in blocked"
            yield Problem(Rule.REBOOTS, f"{what}, and needs no reboot", host=host.name)
        elif host.reboot and count + is_blocked != 1:
            told = f"is rebooted {count} times and {'' if is_blocked else 'not '}blocked"
            yield Problem(Rule.REBOOTS, f"{told}; expected one of them, once", host=host.name)
    yield from _blocked_problems(view)


def _blocked_problems(view: View) -> Iterator[Problem]:
    held = [0] * len(view.hosts)
    for guest, home in enumerate(view.home):
        route = view.routes.get(guest)
        held[view.target[route[-1]] if route else home] += not view.restarts[guest]
    for blocked in view.plan.blocked:
        if not blocked.reasons:
            yield Problem(Rule.REBOOTS, "is blocked without a reason", host=blocked.host)
        if not held[view.host_number[blocked.host]]:
            text = "is blocked, and yet empty of guests to move when all moves have ended"
            yield Problem(Rule.REBOOTS, text, host=blocked.host)


def untouched_problems(view: View) -> Iterator[Problem]:
    """Rule 5: only a move guest is moved, only a restart guest is stopped and started."""
    for number, step in enumerate(view.steps):
        if step.kind is StepKind.REBOOT:
            continue
        evacuation = view.guests[view.guest[number]].evacuation
        moves = step.kind is StepKind.MOVE
        if evacuation is not (Evacuation.MOVE if moves else Evacuation.RESTART):
            text = f"a {step.kind} of a guest whose evacuation is {str(evacuation)!r}"
            yield Problem(Rule.UNTOUCHED, text, step=step.id, guest=step.guest)


@dataclass(frozen=True, slots=True)
class HostSteps:
    """The steps of one host, and which of them come before which others in every order.

    Columns of `before`: the moves off the host, its reboot, the stops there.
    """

    number: int
    stays: Sequence[Stay]
    outs: Sequence[int]
    reboot: int
    stops: Sequence[int]
    starts: Sequence[int]
    before: Before

    def group(self) -> Group:
        """The question that `before` answers."""
        reboot = [self.reboot] if self.reboot != NONE else []
        ins = [stay.incoming for stay in self.stays if stay.incoming != NONE]
        columns = [*self.outs, *reboot, *self.stops]
        return Group(columns, [*ins, *self.outs, *reboot, *self.stops, *self.starts])

    @property
    def all_outs(self) -> int:
        """The bits of every move off the host."""
        return (1 << len(self.outs)) - 1

    @property
    def reboot_bit(self) -> int:
        """The bit of the reboot; 0 without one."""
        return 1 << len(self.outs) if self.reboot != NONE else 0

    def comes_after_reboot(self, step: int) -> bool:
        """Whether the step waits for the host to be back, in every order."""
        return bool(self.before.get(step, 0) & self.reboot_bit)


def host_steps(view: View, stays: Sequence[Sequence[Stay]]) -> list[HostSteps]:
    """The steps of each host, with `before` still empty."""
    outs: list[list[int]] = [[] for _ in view.hosts]
    stops: list[list[int]] = [[] for _ in view.hosts]
    starts: list[list[int]] = [[] for _ in view.hosts]
    for move in view.moves:
        outs[view.source[move]].append(move)
    for step in view.of_kind(StepKind.STOP):
        stops[view.host[step]].append(step)
    for step in view.of_kind(StepKind.START):
        starts[view.host[step]].append(step)
    return [
        HostSteps(n, stays[n], outs[n], view.reboot_of[n], stops[n], starts[n], {})
        for n in range(len(view.hosts))
    ]


def empty_problems(view: View, steps: HostSteps) -> Iterator[Problem]:
    """Rule 2: nobody is on the host, or comes to it, from its reboot's start to its end."""
    name = view.hosts[steps.number].name
    if steps.reboot != NONE:
        yield from _still_there(view, steps)
        yield from _off_late(view, steps)
    restarts = [s.guest for s in steps.stays if s.incoming == NONE and view.restarts[s.guest]]
    expected = 1 if steps.reboot != NONE else 0
    for kind, done in ((StepKind.STOP, steps.stops), (StepKind.START, steps.starts)):
        counted = Counter(view.guest[step] for step in done)
        for guest in {*restarts, *counted}:
            here = guest in restarts
            if counted[guest] != (expected if here else 0) and (here or view.restarts[guest]):
                text = f"{counted[guest]} {kind} steps here; expected {expected if here else 0}"
                yield Problem(Rule.EMPTY, text, host=name, guest=view.guests[guest].name)
    if steps.reboot != NONE:
        yield from _around_reboot(view, steps)


def _still_there(view: View, steps: HostSteps) -> Iterator[Problem]:
    """Guests that may be there, or on their way, at some moment of the reboot."""
    name = view.hosts[steps.number].name
    gone = steps.before.get(steps.reboot, 0)
    bit = {move: 1 << index for index, move in enumerate(steps.outs)}
    for stay in steps.stays:
        if stay.outgoing != NONE and gone & bit[stay.outgoing]:
            continue
        if stay.incoming != NONE and steps.comes_after_reboot(stay.incoming):
            continue
        if stay.incoming == NONE and stay.outgoing == NONE and view.restarts[stay.guest]:
            continue
        how = "may still be here at the reboot"
        if stay.incoming != NONE:
            how = f"may come in by {view.steps[stay.incoming].id!r} before the host is back"
        reboot, guest = view.steps[steps.reboot].id, view.guests[stay.guest].name
        yield Problem(Rule.EMPTY, how, step=reboot, host=name, guest=guest)


def _off_late(view: View, steps: HostSteps) -> Iterator[Problem]:
    """Moves off the host for which a stop does not wait."""
    name = view.hosts[steps.number].name
    for stop in steps.stops:
        waited = steps.before.get(stop, 0) & steps.all_outs
        if waited == steps.all_outs:
            continue
        for index, move in enumerate(steps.outs):
            if not waited >> index & 1 and not steps.comes_after_reboot(move):
                text = f"does not come after the move {view.steps[move].id!r} off the host"
                yield Problem(Rule.EMPTY, text, step=view.steps[stop].id, host=name)


def _around_reboot(view: View, steps: HostSteps) -> Iterator[Problem]:
    """Stops that the reboot does not wait for, and starts that do not wait for the reboot."""
    name = view.hosts[steps.number].name
    reboot = view.steps[steps.reboot].id
    stopped = steps.before.get(steps.reboot, 0) >> (len(steps.outs) + 1)
    for index, stop in enumerate(steps.stops):
        if not stopped >> index & 1:
            text = f"the reboot {reboot!r} does not come after it"
            yield Problem(Rule.EMPTY, text, step=view.steps[stop].id, host=name)
    for start in steps.starts:
        if not steps.comes_after_reboot(start):
            text = f"does not come after the reboot {reboot!r}"
            yield Problem(Rule.EMPTY, text, step=view.steps[start].id, host=name)
