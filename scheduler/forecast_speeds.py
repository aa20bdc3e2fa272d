"""How fast this rollout really is: what its ended steps took, against what the plan gave them.

A step's time is (real / planned) times planned, and the logarithm of that ratio is taken as normal:
times are positive, and a slow network or a slow kind of machine stretches all of them alike. What
is known grows with what has ended: the few first steps count beside the planner's own figures,
many steps count alone (the conjugate update of a normal mean and of its variance, Gelman et al.,
Bayesian Data Analysis, 3.3, without the term for a prior that was wrong). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from agents.wire import Kind
from scheduler.book import Book
from scheduler.frozen import Frozen
from scheduler.progress import ARRIVED
from scheduler.rollout import Step, StepState

AFTERCARE = (Kind.MEND, Kind.RETUNE)
"""Short, and in no plan."""

PRIOR_STEPS = 3.0
"""The planner's figure for a kind of step counts as so many steps that took just as planned."""
PRIOR_SPREAD_STEPS = 8.0
PRIOR_SPREAD = 0.25
"""Before anything is known, one step in three is more than a quarter off what was planned."""
PRIOR_TRIES, PRIOR_STAYED = 100.0, 0.5
"""Attempts at moves that are taken to have gone before, and how many of them failed."""
SHORTEST_S = 0.1


class Speed(Frozen):
    """Steps of one kind; logarithms of real over planned time."""

    steps: int = 0  # that it was measured on
    mean: float = 0.0
    mean_error: float = PRIOR_SPREAD / math.sqrt(PRIOR_STEPS)
    spread: float = PRIOR_SPREAD  # of single steps around the mean

    @property
    def ratio(self) -> float:
        """Real over planned time of a step in the middle."""
        return math.exp(self.mean)


class Speeds(Frozen):
    """What was measured in one rollout."""

    move: Speed = Speed()
    reboot: Speed = Speed()
    other: Speed = Speed()  # stops, starts, live patches
    failing: float = PRIOR_STAYED / PRIOR_TRIES  # share of attempts at moves that come to nothing
    mib_per_s: float | None = None  # of moves: memory over time, queueing and looks included
    reboot_s: float | None = None  # median of those seen

    def of(self, kind: Kind) -> Speed:
        """The speed of steps of this kind."""
        return {Kind.MOVE: self.move, Kind.REBOOT: self.reboot}.get(kind, self.other)


EXACT = Speed(mean_error=0.0, spread=0.0)
"""Every step takes just as long as planned."""
AS_PLANNED = Speeds(move=EXACT, reboot=EXACT, other=EXACT, failing=0.0)


def speeds(book: Book) -> Speeds:
    """What the steps that have ended so far tell."""
    ended = [step for step in book.steps.values() if _counts(step)]
    moves = [step for step in ended if step.kind is Kind.MOVE]
    reboots = [step for step in ended if step.kind is Kind.REBOOT]
    others = [step for step in ended if step.kind not in (Kind.MOVE, Kind.REBOOT, *AFTERCARE)]
    moved_s = sum(took_s(step) for step in moves)
    return Speeds(
        move=speed(map(ratio, moves)),
        reboot=speed(map(ratio, reboots)),
        other=speed(map(ratio, others)),
        failing=_failing(book),
        mib_per_s=sum(step.room_mib for step in moves) / moved_s if moved_s else None,
        reboot_s=_middle([took_s(step) for step in reboots]),
    )


def speed(ratios: Iterable[float]) -> Speed:
    """From real over planned times of some steps."""
    logs = [math.log(one) for one in ratios]
    number = len(logs)
    if not number:
        return Speed()
    middle = math.fsum(logs) / number
    squares = math.fsum((one - middle) ** 2 for one in logs)
    variance = (PRIOR_SPREAD_STEPS * PRIOR_SPREAD**2 + squares) / (PRIOR_SPREAD_STEPS + number)
    return Speed(
        steps=number,
        mean=middle * number / (number + PRIOR_STEPS),
        mean_error=math.sqrt(variance / (number + PRIOR_STEPS)),
        spread=math.sqrt(variance),
    )


def _counts(step: Step) -> bool:
    done = step.state is StepState.DONE and step.outcome != "moot"
    timed = step.ordered_at is not None and step.ended_at is not None
    good = step.outcome in ARRIVED if step.kind is Kind.MOVE else True
    return done and timed and good and planned_s(step) > 0


def planned_s(step: Step) -> float:
    """How long the plan gave it, in seconds."""
    return step.planned_end_s - step.planned_start_s


def took_s(step: Step) -> float:
    """From its order to its settled end, in seconds: what the next step had to wait."""
    assert step.ordered_at is not None and step.ended_at is not None
    return max(SHORTEST_S, (step.ended_at - step.ordered_at).total_seconds())


def ratio(step: Step) -> float:
    """Real over planned time of a step that has ended."""
    return took_s(step) / planned_s(step)


def _failing(book: Book) -> float:
    tries = sum(step.tries for step in book.steps.values() if step.kind is Kind.MOVE)
    stayed = sum(guest.stayed for guest in book.guests.values())
    return min(0.5, (stayed + PRIOR_STAYED) / (tries + PRIOR_TRIES))


def _middle(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None
