"""What a caller may ask of the planner besides the fleet's own policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _no_clock() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How to search. The same fleet and seed give the same plan while time does not run out.

    `time_limit_s` bounds the improvement of a plan, not the making of the first one.
    `seed_hosts` empties so many hosts at the start, whatever the policy's `extra_moves` (None: as
    many as that pays for). `clock` tells seconds (the planner has no clock of its own; without
    one, `planning_s` is 0 and the time limit never ends anything).
    """

    seed: int = 0
    time_limit_s: float = 10.0
    seed_hosts: int | None = None
    clock: Callable[[], float] = _no_clock
