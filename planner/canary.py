"""Which hosts to try first: as many kinds of guests as possible, as few guests as possible.

A guest's class is what decides whether its move goes well (kernel, architecture, virtualisation).
The canary wave is the rollout's test: a class that it does not cover is met later, with many hosts
under way. So the canary hosts are those, at most so many, whose guests to move have the most
classes; among such sets the one with the fewest guests at risk; then the one with fewer hosts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from planner.arrays import HOLD, MOVE, Arrays

_MOST_LOOKS = 300_000
"""Hosts that the search looks at, all sets together, before the best so far has to do."""

_MOST_COMPARED = 1_000
"""Up to so many different sets of classes each is compared with all others."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Guest classes, by name and sorted: those that a set of hosts puts to the test, and the rest.

    Classes are those of guests that move off hosts to reboot; guests without a class count as none.
    """

    covered: tuple[str, ...]
    not_covered: tuple[str, ...]


def coverage(arrays: Arrays, hosts: Collection[int]) -> Coverage:
    """What the classes of the guests to move off these hosts leave out."""
    everyone: set[str] = set()
    covered: set[str] = set()
    for number, guest in enumerate(arrays.guests):
        home = arrays.guest_host[number]
        if guest.guest_class is None or arrays.guest_kind[number] != MOVE:
            continue
        if arrays.reboot[home] and not arrays.held[home]:
            everyone.add(guest.guest_class)
        if home in hosts:
            covered.add(guest.guest_class)
    return Coverage(tuple(sorted(covered)), tuple(sorted(everyone - covered)))


def choose_canary(arrays: Arrays, candidates: Sequence[int], canary_hosts: int) -> list[int]:
    """At most so many of the candidates, ascending: the set to reboot first; at least one if any.

    The candidates are hosts that can be emptied before any other. Exact unless there are very many
    different sets of classes, then the best of a greedy choice and a search cut short. The result
    depends on nothing but the arguments.
    """
    if not candidates or canary_hosts < 1:
        return []
    options = _options(arrays, sorted(set(candidates)))
    search = _Search(options, canary_hosts)
    search.greedy()
    search.visit([], 0, 0, range(len(options)))
    return sorted(options[n].host for n in search.best)


@dataclass(frozen=True, slots=True)
class _Option:
    """A host: its classes as bits, and the guests that are moved or restarted for it."""

    host: int
    classes: int
    at_risk: int


def _options(arrays: Arrays, candidates: Sequence[int]) -> list[_Option]:
    """Of the candidates with the same classes the one with the fewest at risk; most classes first.

    Where they are few, those that another host beats are left out.
    """
    bits: dict[str, int] = {}
    best: dict[int, _Option] = {}
    for host in candidates:
        classes = at_risk = 0
        for guest in arrays.guests_of[host]:
            name = arrays.guests[guest].guest_class
            at_risk += arrays.guest_kind[guest] != HOLD
            if name is not None and arrays.guest_kind[guest] == MOVE:
                classes |= 1 << bits.setdefault(name, len(bits))
        if classes not in best or at_risk < best[classes].at_risk:
            best[classes] = _Option(host, classes, at_risk)
    options = sorted(best.values(), key=lambda o: (-o.classes.bit_count(), o.at_risk, o.host))
    return options if len(options) > _MOST_COMPARED else _unbeaten(options)


def _unbeaten(options: Sequence[_Option]) -> list[_Option]:
    """Those of the options, most classes first, that no other beats in both respects."""
    kept: list[_Option] = []
    for option in options:
        if not any(
            other.classes | option.classes == other.classes and other.at_risk <= option.at_risk
            for other in kept
        ):
            kept.append(option)
    return kept


@dataclass
class _Search:
    """The best set so far, and a depth-first search for a better one."""

    options: Sequence[_Option]
    many: int
    best: list[int] = field(default_factory=list)
    value: tuple[int, int, int] = (1, 0, 0)
    looks: int = 0

    def consider(self, chosen: Sequence[int], classes: int, at_risk: int) -> None:
        """Keep the set if it has more classes, or as many with fewer at risk, or fewer hosts."""
        value = (-classes.bit_count(), at_risk, len(chosen))
        if chosen and value < self.value:
            self.value, self.best = value, list(chosen)

    def greedy(self) -> None:
        """Host after host, the one that adds the most classes; a first set to beat."""
        chosen: list[int] = []
        classes = at_risk = 0
        while len(chosen) < self.many:
            gains = [(o.classes & ~classes).bit_count() for o in self.options]
            n = max(range(len(gains)), key=lambda n: (gains[n], -self.options[n].at_risk))
            if chosen and not gains[n]:
                break
            chosen.append(n)
            classes |= self.options[n].classes
            at_risk += self.options[n].at_risk
            self.consider(chosen, classes, at_risk)

    def visit(self, chosen: list[int], classes: int, at_risk: int, left: Sequence[int]) -> None:
        """All sets that add some of `left`, but those that cannot beat the best."""
        self.consider(chosen, classes, at_risk)
        if len(chosen) == self.many or self.looks > _MOST_LOOKS:
            return
        useful = self._by_gain(classes, left, first=not chosen)
        for place, n in enumerate(useful):
            if self._hopeless(classes, at_risk, useful[place:], self.many - len(chosen)):
                return
            option = self.options[n]
            self.visit(
                [*chosen, n],
                classes | option.classes,
                at_risk + option.at_risk,
                useful[place + 1 :],
            )

    def _by_gain(self, classes: int, left: Sequence[int], first: bool) -> list[int]:
        self.looks += len(left)
        gains = {n: (self.options[n].classes & ~classes).bit_count() for n in left}
        useful = [n for n in left if gains[n] or first]
        return sorted(useful, key=lambda n: (-gains[n], self.options[n].at_risk, n))

    def _hopeless(self, classes: int, at_risk: int, left: Sequence[int], more: int) -> bool:
        """Even the largest gains of all that is left would not beat the best set, or time is up."""
        self.looks += len(left)
        if self.looks > _MOST_LOOKS:
            return True
        gains = [(self.options[n].classes & ~classes).bit_count() for n in left[:more]]
        least = min((self.options[n].at_risk for n in left), default=0)
        most = classes.bit_count() + sum(gains)
        return (-most, at_risk + least, 0) >= self.value
