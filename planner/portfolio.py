"""Tries several recipes for the whole fleet and keeps the best plan.

A fixed amount of work by the size of the fleet, so that the same input and seed give the same
plan on any machine (unless the time limit ends it early).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from planner.arrays import Arrays
from planner.bounds import Bounds
from planner.grow import Grower, Recipe, Unlock
from planner.needs import Draft, Drafting
from planner.options import PlanOptions
from planner.schedule import schedule
from planner.unlock_small import ways_out

# Guests placed in all recipes together, and what bounds the number of recipes either way.
_WORK = 36_000
_FEWEST, _MOST = 2, 40

# The same for fleets where some hosts stay blocked.
_RESCUE_WORK, _RESCUES = 60_000, 60

# So many recipes are tried again with the solver's help where all leave hosts blocked.
_UNLOCKED = 4

# Up to so many guests the steps are timed for every recipe, beyond it only for the best.
_TIMED = 4_000


@dataclass(frozen=True)
class Candidate:
    """What a recipe came to."""

    grower: Grower

    @property
    def arrays(self) -> Arrays:
        """The fleet."""
        return self.grower.arrays

    @property
    def blocked(self) -> int:
        """Hosts that it could not empty."""
        return sum(map(len, self.grower.waiting))

    @cached_property
    def drafts(self) -> list[Draft]:
        """The steps with their needs."""
        return Drafting(self.arrays, self.grower.waves()).run(self.grower.state.sequence)

    @cached_property
    def times_s(self) -> tuple[list[float], list[float]]:
        """Start and end of each step."""
        return schedule(self.arrays, self.drafts)

    @property
    def makespan_s(self) -> float:
        """When the last step ends."""
        return max(self.times_s[1], default=0.0)


def best_of(
    arrays: Arrays,
    bounds: Bounds,
    options: PlanOptions,
    canary: Sequence[int] = (),
    unlock: Unlock | None = None,
) -> Candidate:
    """The best candidate: fewest blocked hosts, moves within the policy, shortest makespan.

    `unlock` is tried where plain growing leaves hosts blocked; after it, parts of the fleet that
    are small enough for it are searched for a way that leaves fewer.
    """
    search = _Search(arrays, bounds, options, canary)
    for recipe in recipes(arrays, bounds, options):
        if not search.try_out(recipe):
            break
    for recipe in rescues(arrays, bounds, options):
        # What was left over in the end is where the next attempt begins.
        if not search.best.blocked or not search.try_out(replace(recipe, first=search.blamed)):
            break
    for recipe in search.promising() if unlock is not None and search.best.blocked else ():
        if not search.try_out(recipe, unlock) or not search.best.blocked:
            break
    if unlock is not None and search.best.blocked:
        search.search_parts()
    return search.best


class _Search:
    """The best candidate so far; `blamed` are hosts that stayed blocked in some candidate."""

    def __init__(
        self, arrays: Arrays, bounds: Bounds, options: PlanOptions, canary: Sequence[int]
    ) -> None:
        self._arrays = arrays
        self._bounds = bounds
        self._options = options
        self._canary = canary
        self._began_s = options.clock()
        self._best: Candidate | None = None
        self._value: tuple[float, ...] = ()
        self.blamed: frozenset[int] = frozenset()
        self._tried: list[tuple[tuple[float, ...], Recipe]] = []

    @property
    def best(self) -> Candidate:
        """The best of those that were tried."""
        if self._best is None:
            raise AssertionError("nothing was tried yet")
        return self._best

    def promising(self) -> list[Recipe]:
        """The best few recipes so far, of different outcomes."""
        by_value = {value: recipe for value, recipe in reversed(self._tried)}
        return [by_value[value] for value in sorted(by_value)[:_UNLOCKED]]

    def search_parts(self) -> None:
        """Try the best recipe with small parts of the fleet as a search of all orders has them."""
        grower = self.best.grower
        stuck = [host for hosts in grower.waiting for host in hosts]
        found = ways_out(self._arrays, stuck)
        if found:
            hosts = {host for way in found for host in way.hosts}
            actions = [action for way in found for action in way.actions]
            again = Grower(self._arrays, grower.recipe, grower.unlock)
            again.run_around(hosts, actions, self._canary_of(grower.recipe))
            self._compare(again)

    def _canary_of(self, recipe: Recipe) -> Sequence[int]:
        # A canary that leads into a dead end must not be what every rescue begins with.
        return () if recipe.jitter and recipe.seed % 2 else self._canary

    def try_out(self, recipe: Recipe, unlock: Unlock | None = None) -> bool:
        """Make and compare one candidate; False when the time is up."""
        grower = Grower(self._arrays, recipe, unlock)
        grower.run(self._canary_of(recipe))
        self._compare(grower)
        return self._options.clock() - self._began_s <= self._options.time_limit_s

    def _compare(self, grower: Grower) -> None:
        recipe, candidate = grower.recipe, Candidate(grower)
        value = _value(candidate, self._bounds, self._options)
        self._tried.append((value, recipe))
        self.blamed |= {host for hosts in grower.waiting for host in hosts}
        if self._best is None or value < self._value:
            self._best, self._value = candidate, value


def _value(candidate: Candidate, bounds: Bounds, options: PlanOptions) -> tuple[float, ...]:
    """What to minimise, the most important first."""
    moves = candidate.grower.moves
    over = max(0, moves - bounds.moves_allowed) if options.seed_hosts is None else 0
    timed = len(candidate.arrays.guests) <= _TIMED
    makespan_s = candidate.makespan_s if timed else candidate.grower.last_s
    return candidate.blocked, over, makespan_s, moves


def recipes(arrays: Arrays, bounds: Bounds, options: PlanOptions) -> Iterator[Recipe]:
    """The recipes to try, the most promising first."""
    policy = arrays.policy
    first = Recipe(extra=bounds.moves_allowed - bounds.evacuated, seeds=options.seed_hosts)
    never = float("inf")
    number = max(_FEWEST, min(_MOST, _WORK // max(1, len(arrays.guests))))
    fixed = [
        first,
        replace(first, opening=1, bulk=0.0, late_s=never),
        replace(first, opening=2),
        replace(first, extra=bounds.moves - bounds.evacuated),
        replace(first, opening=1, bulk=0.1),
        replace(first, bulk=0.0, late_s=never),
    ]
    yield from fixed[:number]
    chance = random.Random(options.seed)
    for _ in range(number - len(fixed)):
        yield replace(
            first,
            opening=chance.randrange(8),
            bulk=chance.choice((0.0, 0.03, 0.05, 0.1, 0.2)),
            late_s=chance.choice((0.5, 1.0, never)) * policy.reboot_s,
            rare_s=chance.choice((0.0, 30.0, 100.0)),
            fit_s=chance.choice((30.0, 60.0, 100.0, 200.0, 400.0)),
        )


def rescues(arrays: Arrays, bounds: Bounds, options: PlanOptions) -> Iterator[Recipe]:
    """Recipes for fleets where hosts stay blocked: other orders, room before time."""
    least = Recipe(extra=bounds.moves - bounds.evacuated, seeds=options.seed_hosts)
    chance = random.Random(options.seed)
    for number in range(min(_RESCUES, _RESCUE_WORK // max(1, len(arrays.guests)))):
        yield replace(
            least,
            jitter=chance.choice((0.05, 0.3, 2.0)),
            seed=number,
            bulk=chance.choice((-0.5, 0.0, 0.5)),
            fit_s=chance.choice((100.0, 1e4)),
            rare_s=chance.choice((0.0, 1e4)),
        )
