"""Rule 3: memory, vCPUs and `apart` on every host, at every moment, in every order.

A guest takes room on a host for the whole of its stay: from the start of the move that brings it
(or the beginning) to the end of the move that takes it away (or for good). Of two stays on a host
one is over before the other begins in every order exactly where the move that ends the first
comes before the move that begins the second; otherwise there is an order, and durations, by which
both are there at once. More: stays of which no two exclude each other are all there at once in
some order (do what their incoming moves need, then start these; no outgoing move is among what
was needed). So the most that a host can ever hold is the heaviest set of stays that do not
exclude each other, and only sets with a stay that comes in count: what was there at the beginning
is there whatever the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.check_flow import Choice, at_most, bits_of, heaviest
from planner.check_hosts import HostSteps
from planner.check_view import NONE, Problem, Rule, Stay, View


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of room: its unit, what each guest takes of it, and what each host has."""

    unit: str
    takes: Sequence[int]
    has: Sequence[int]


def measures(view: View) -> list[Measure]:
    """Memory (what moves may fill of it) and vCPUs."""
    policy = view.fleet.policy
    return [
        Measure(
            "MiB",
            [guest.room_mib for guest in view.guests],
            [_whole(host.memory_mib * policy.max_fill) for host in view.hosts],
        ),
        Measure(
            "vCPUs",
            [guest.vcpus for guest in view.guests],
            [_whole(host.cpus * policy.vcpus_per_cpu) for host in view.hosts],
        ),
    ]


def _whole(limit: float) -> int:
    # A product such as 0.7 * 10 may come out a hair too small; room is counted in whole units.
    return int(limit + 1e-6)


def beginning_problems(view: View) -> Iterator[Problem]:
    """Hosts that hold more memory than they have before anything moves."""
    taken = [0] * len(view.hosts)
    for guest, home in zip(view.guests, view.home, strict=True):
        taken[home] += guest.room_mib
    for number, host in enumerate(view.hosts):
        if taken[number] > host.memory_mib:
            text = f"holds {taken[number]} MiB of {host.memory_mib} MiB at the beginning"
            yield Problem(Rule.ROOM, text, host=host.name)


def surely_fits(steps: HostSteps, measure: Measure) -> bool:
    """Whether simple sums show already that no order brings too much to the host."""
    load = _Load(steps, measure)
    doubtful = load.doubtful()
    return not doubtful or (load.at_first <= load.limit and load.bound() <= load.limit)


def room_problems(view: View, steps: HostSteps, measure: Measure) -> Iterator[Problem]:
    """Whether some order brings more to the host than it has room for; the worst of it."""
    if surely_fits(steps, measure):
        return
    load = _Load(steps, measure)
    if load.at_first > load.limit:
        # It may stay too full while nothing comes in: each arrival is a case of its own.
        worst = max((load.worst_with(number) for number in load.doubtful()), key=_weight)
    else:
        worst = load.worst()
    if worst.weight > load.limit:
        yield _too_much(view, steps, measure, load, worst)


def _weight(choice: Choice) -> int:
    return choice.weight


def _too_much(
    view: View, steps: HostSteps, measure: Measure, load: _Load, worst: Choice
) -> Problem:
    stays = [load.ins[number] for number in worst.chosen]
    stays.sort(key=lambda stay: _comes(view, stay))
    names = [view.guests[stay.guest].name for stay in stays]
    beside = f" beside {', '.join(names[-6:-1])}" if len(names) > 1 else ""
    text = (
        f"in some order it has to hold {worst.weight} {measure.unit} of "
        f"{load.limit} {measure.unit} when this guest comes in{beside}"
    )
    step, host = view.steps[stays[-1].incoming].id, view.hosts[steps.number].name
    return Problem(Rule.ROOM, text, step=step, host=host, guest=names[-1])


def _comes(view: View, stay: Stay) -> int:
    """When the stay begins, in one order that keeps `needs`."""
    return NONE if stay.incoming == NONE else view.position[stay.incoming]


class _Load:
    """How much of one measure a host may have to hold.

    The arrivals are the items of a choice, and the moves off the host are the costs: an arrival
    adds its guest, and takes off the guests whose leaving it waits for.
    """

    def __init__(self, steps: HostSteps, measure: Measure) -> None:
        self.ins = [stay for stay in steps.stays if stay.incoming != NONE]
        self._adds = [measure.takes[stay.guest] for stay in self.ins]
        leaves = {s.outgoing: measure.takes[s.guest] for s in steps.stays if s.outgoing != NONE}
        self._frees = [leaves.get(move, 0) for move in steps.outs]
        self._waits = [steps.before.get(stay.incoming, 0) & steps.all_outs for stay in self.ins]
        bit = {move: 1 << index for index, move in enumerate(steps.outs)}
        self._leaves = [bit.get(stay.outgoing, 0) for stay in self.ins]
        self._freed_by: dict[int, int] = {}
        self.at_first = sum(measure.takes[s.guest] for s in steps.stays if s.incoming == NONE)
        self._all_adds = sum(self._adds)
        self.limit = measure.has[steps.number]

    def doubtful(self) -> list[int]:
        """The arrivals by which the host may hold too much, as far as simple sums tell."""
        return [number for number in range(len(self.ins)) if self.at_most(number) > self.limit]

    def at_most(self, number: int) -> int:
        """More than is there when this arrival is on its way in, or as much."""
        most = self.at_first + self._all_adds - self._freed(self._waits[number])
        leaves = self._leaves[number]
        if leaves:
            later = zip(self._adds, self._waits, strict=True)
            most -= sum(adds for adds, waits in later if waits & leaves)
        return most

    def _freed(self, waits: int) -> int:
        """What the guests take that are gone once these moves have ended."""
        known = self._freed_by.get(waits)
        if known is None:
            known = self._freed_by[waits] = sum(self._frees[bit] for bit in bits_of(waits))
        return known

    def bound(self) -> int:
        """More than is ever there at once, or as much."""
        return self.at_first + at_most(self._items(), self._frees)

    def worst(self) -> Choice:
        """The most that is ever there at once, and the arrivals up to then."""
        found = heaviest(self._items(), self._frees)
        return Choice(self.at_first + found.weight, found.chosen)

    def worst_with(self, number: int) -> Choice:
        """The most that is ever there while this arrival is there."""
        waits, leaves = self._waits[number], self._leaves[number]
        items = [
            (0, 0) if other == number or theirs & leaves else (adds, theirs & ~waits)
            for other, (adds, theirs) in enumerate(self._items())
        ]
        found = heaviest(items, self._frees)
        chosen = {n for n in found.chosen if not self._waits[n] & leaves} | {number}
        base = self.at_first + self._adds[number] - self._freed(waits)
        return Choice(base + found.weight, tuple(sorted(chosen)))

    def _items(self) -> list[tuple[int, int]]:
        return list(zip(self._adds, self._waits, strict=True))


def apart_problems(view: View, steps: HostSteps) -> Iterator[Problem]:
    """Pairs that have to be apart and may be on the host at once, one of them having come in."""
    sharing: dict[str, list[Stay]] = {}
    for stay in steps.stays:
        for name in view.guests[stay.guest].apart:
            sharing.setdefault(name, []).append(stay)
    seen: set[tuple[Stay, Stay]] = set()
    for name, stays in sharing.items():
        for index, one in enumerate(stays):
            for other in stays[index + 1 :]:
                if (one, other) not in seen and _together(steps, one, other):
                    seen.add((one, other))
                    yield _not_apart(view, name, one, other)


def _together(steps: HostSteps, one: Stay, other: Stay) -> bool:
    """Whether two stays, one of which comes in, are both there in some order."""
    if one.guest == other.guest or one.incoming == other.incoming == NONE:
        return False
    return not (_over_before(steps, one, other) or _over_before(steps, other, one))


def _over_before(steps: HostSteps, one: Stay, other: Stay) -> bool:
    if one.outgoing == NONE or other.incoming == NONE:
        return False
    return bool(steps.before.get(other.incoming, 0) >> steps.outs.index(one.outgoing) & 1)


def _not_apart(view: View, name: str, one: Stay, other: Stay) -> Problem:
    later = max(one, other, key=lambda stay: _comes(view, stay))
    earlier = one if later is other else other
    text = (
        f"in some order it is here together with {view.guests[earlier.guest].name!r}, and both "
        f"have to be apart by {name!r}"
    )
    step, host = view.steps[later.incoming].id, view.hosts[later.host].name
    return Problem(Rule.ROOM, text, step=step, host=host, guest=view.guests[later.guest].name)
