"""Which steps come before which others in every order that keeps `needs`.

A step comes before another in every order exactly where the other needs it, directly or through
others. For all pairs of 130,000 steps that is too much to hold, and hardly any pair matters:
only steps of one host, or of one guest. So the pairs are asked for in groups. `nearby` finds what
follows from the needs within a group: enough for nearly all. `Order` finds everything: the groups
are taken some thousands of columns at a time, and the steps pass the bits of those on to each
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.check_view import View

COLUMNS_AT_A_TIME = 16384


@dataclass(frozen=True, slots=True)
class Group:
    """Asks of each step in `rows` which of `columns` come before it in every order."""

    columns: Sequence[int]
    rows: Sequence[int]


Before = dict[int, int]
"""Of each row, a bit for each column (the first column is bit 0): it comes before the row."""


def nearby(view: View, group: Group) -> Before:
    """The columns that come before each row by needs between steps of the group alone.

    All of it is true, and not all that is true is in it.
    """
    own = {step: 1 << index for index, step in enumerate(group.columns)}
    before: Before = {}
    for step in sorted({*group.rows, *group.columns}, key=view.position.__getitem__):
        bits = 0
        for need in view.needs[step]:
            bits |= before.get(need, 0) | own.get(need, 0)
        before[step] = bits
    return before


class Order:
    """The steps of a plan and what they need; answers which come before which."""

    def __init__(self, view: View, columns_at_a_time: int = COLUMNS_AT_A_TIME) -> None:
        self._columns_at_a_time = columns_at_a_time
        self._needs, self._order, self._position = view.needs, view.order, view.position
        self._last_needed: list[list[int]] = [[] for _ in view.order]
        seen = [False] * len(view.order)
        for step in reversed(view.order):
            for need in view.needs[step]:
                if not seen[need]:
                    seen[need] = True
                    self._last_needed[step].append(need)
        self._is_needed = seen

    def before(self, groups: Sequence[Group]) -> list[Before]:
        """The answer to each group."""
        answers: list[Before] = [{} for _ in groups]
        for some in self._portions(groups):
            self._answer(groups, some, answers)
        return answers

    def _portions(self, groups: Sequence[Group]) -> Iterator[list[int]]:
        """The groups' numbers, by where they begin, in portions of about as many columns."""
        begins = {n: self._first(group.columns) for n, group in enumerate(groups) if group.columns}
        portion: list[int] = []
        columns = 0
        for number in sorted(begins, key=begins.__getitem__):
            portion.append(number)
            columns += len(groups[number].columns)
            if columns >= self._columns_at_a_time:
                yield portion
                portion, columns = [], 0
        if portion:
            yield portion

    def _first(self, columns: Sequence[int]) -> int:
        """Before this position of the order there is none of the columns."""
        return min((self._position[step] for step in columns), default=len(self._order))

    def _answer(self, groups: Sequence[Group], some: list[int], answers: list[Before]) -> None:
        columns: list[int] = []
        asked: dict[int, list[tuple[Before, int, int]]] = {}
        for number in some:
            group = groups[number]
            mask = (1 << len(group.columns)) - 1
            for row in group.rows:
                asked.setdefault(row, []).append((answers[number], len(columns), mask))
            columns += group.columns
        for step, bits in self._passed_on(columns):
            for answer, shift, mask in asked.get(step, ()):
                answer[step] = bits >> shift & mask

    def every(self, columns: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Every step, in an order that keeps `needs`, with a bit for each column before it."""
        yield from ((step, 0) for step in self._order[: self._first(columns)])
        yield from self._passed_on(columns)

    def _passed_on(self, columns: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The same, without the steps that come before any of the columns."""
        own: dict[int, int] = {}
        for index, step in enumerate(columns):
            own[step] = own.get(step, 0) | 1 << index
        known = [0] * len(self._order)
        for step in self._order[self._first(columns) :]:
            bits = 0
            for need in self._needs[step]:
                bits |= known[need]
            yield step, bits
            for need in self._last_needed[step]:
                known[need] = 0
            if self._is_needed[step]:
                known[step] = bits | own[step] if step in own else bits
