"""How long guests stood still in a rollout's moves: bounds, added up. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.frozen import Frozen
from scheduler.rollout import Step


class Blackouts(Frozen):
    """Of the moves whose blackout was watched; seconds by the clocks of the sources.

    A blackout lies between two bounds (`agents.blackout`); `longest` are the bounds of the one
    with the highest upper bound.
    """

    moves: int = 0  # whose bounds are known
    unknown: int = 0  # moves that succeeded, and nobody watched
    half_at_most_s: float | None = None  # one half of them took no longer
    longest_guest: str | None = None
    longest_at_least_s: float | None = None
    longest_at_most_s: float | None = None

    def __str__(self) -> str:
        if self.half_at_most_s is None:
            return "not measured"
        lacking = f"; {self.unknown} not measured" if self.unknown else ""
        return (
            f"half of {self.moves} at most {self.half_at_most_s:.1f} s, the longest "
            f"{self.longest_at_least_s:.1f} to {self.longest_at_most_s:.1f} s"
            f" ({self.longest_guest}){lacking}"
        )


def blackouts(steps: Iterable[Step]) -> Blackouts:
    """Over the moves that succeeded."""
    moved = [step for step in steps if step.outcome == "moved"]
    known = sorted(
        (step.blackout.at_most_s, step.blackout.at_least_s, step.guest or "")
        for step in moved
        if step.blackout
    )
    if not known:
        return Blackouts(unknown=len(moved))
    most_s, least_s, guest = known[-1]
    return Blackouts(
        moves=len(known),
        unknown=len(moved) - len(known),
        half_at_most_s=known[(len(known) - 1) // 2][0],
        longest_guest=guest,
        longest_at_least_s=least_s,
        longest_at_most_s=most_s,
    )
