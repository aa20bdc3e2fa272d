"""Where guests of a few hosts have to stand so that one of the hosts is empty, by CP-SAT.

One boolean for each guest and each host where it may come to stand; a boolean for each host that
could be the empty one. OR-tools is imported on the first use: loading it takes about a second.
Same input, same answer: one worker, a fixed seed, and limits in the solver's own deterministic
time instead of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What is known after the search."""

    FOUND = "found"
    """A placement with a host empty."""
    IMPOSSIBLE = "impossible"
    """Proof that there is none."""
    UNKNOWN = "unknown"
    """The time was up."""


@dataclass(frozen=True)
class Item:
    """A guest that may move: its sizes, where it stands, and its apart names.

    `costs` has the hosts where it may come to stand, its own among them, and their prices.
    """

    sizes: tuple[int, ...]
    home: int
    costs: Mapping[int, int]
    names: tuple[int, ...] = ()


@dataclass(frozen=True)
class Puzzle:
    """Guests, the room of each host for them per resource, and the hosts of which one is emptied.

    Without candidates nothing has to be empty: then the prices alone say what is wanted.

    `closed` are hosts that no guest may come to (they hold more than they take, in some resource);
    what stands there may stay. `taken`: on these hosts stand guests that never move, with these
    apart names.
    """

    items: Sequence[Item]
    room: Mapping[int, tuple[int, ...]]
    candidates: Sequence[int]
    closed: frozenset[int] = frozenset()
    taken: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Answer:
    """The outcome; where found, the emptied host and the new place of each item."""

    outcome: Outcome
    emptied: int = -1
    places: list[int] = field(default_factory=list)


def solve(puzzle: Puzzle, work: float) -> Answer:
    """The cheapest placement found within `work` units of the solver's deterministic time."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    emptied = {host: model.new_bool_var(f"empty{host}") for host in puzzle.candidates}
    if emptied:
        model.add_exactly_one(emptied.values())
    at = _places(model, puzzle, emptied)
    _keep_room(model, puzzle, at)
    _keep_apart(model, puzzle, at)
    model.minimize(
        sum(
            item.costs[host] * place
            for places, item in zip(at, puzzle.items, strict=True)
            for host, place in places.items()
            if item.costs[host]
        )
    )
    solver = _solver(cp_model, work)
    return _answer(cp_model, solver, solver.solve(model), at, emptied)


def _solver(cp_model: Any, work: float) -> Any:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = work
    solver.parameters.relative_gap_limit = 0.02
    return solver


At = list[dict[int, Any]]


def _places(model: Any, puzzle: Puzzle, emptied: Mapping[int, Any]) -> At:
    """A boolean for each guest and place; exactly one of a guest's is true."""
    at: At = []
    for number, item in enumerate(puzzle.items):
        hosts = [h for h in item.costs if h == item.home or h not in puzzle.closed]
        places = {host: model.new_bool_var(f"g{number}h{host}") for host in hosts}
        model.add_exactly_one(places.values())
        for host, place in places.items():
            if host in emptied:
                model.add_implication(place, ~emptied[host])
            model.add_hint(place, host == item.home)
        at.append(places)
    return at


def _keep_room(model: Any, puzzle: Puzzle, at: At) -> None:
    for host, room in puzzle.room.items():
        if host in puzzle.closed:
            continue
        for resource, limit in enumerate(room):
            there = [
                (places[host], item.sizes[resource])
                for places, item in zip(at, puzzle.items, strict=True)
                if host in places and item.sizes[resource]
            ]
            if sum(size for _, size in there) > limit:
                model.add(sum(size * place for place, size in there) <= limit)


def _keep_apart(model: Any, puzzle: Puzzle, at: At) -> None:
    """At most one guest of a name on a host; where more are at the start, none comes in."""
    groups: dict[tuple[int, int], list[tuple[Any, bool]]] = {}
    for places, item in zip(at, puzzle.items, strict=True):
        for name in item.names:
            for host, place in places.items():
                groups.setdefault((name, host), []).append((place, host == item.home))
    for key, members in groups.items():
        at_home = sum(home for _, home in members) + (key in puzzle.taken)
        if at_home > 1:
            model.add(sum(place for place, home in members if not home) == 0)
        elif key in puzzle.taken:
            model.add(sum(place for place, _ in members) == 0)
        elif len(members) > 1:
            model.add_at_most_one(place for place, _ in members)


def _answer(cp_model: Any, solver: Any, status: Any, at: At, emptied: Mapping[int, Any]) -> Answer:
    if status == cp_model.INFEASIBLE:
        return Answer(Outcome.IMPOSSIBLE)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Answer(Outcome.UNKNOWN)
    empty = next((host for host, flag in emptied.items() if solver.boolean_value(flag)), -1)
    places = [
        next(host for host, place in choices.items() if solver.boolean_value(place))
        for choices in at
    ]
    return Answer(Outcome.FOUND, empty, places)
