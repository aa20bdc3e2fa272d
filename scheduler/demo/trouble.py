"""What goes wrong in the demo: a guest that does not suspend, and one that dies when it resumes.

Or a whole class of guests that dies so (`--trouble class`), until somebody mends it (`--mend`).
The scheduler is not told; it finds out as it would from real guests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.fleet import Evacuation, Fleet, Guest
from scheduler.demo.example import FRAGILE_CLASS
from scheduler.standin import faults
from scheduler.standin.store import World


@dataclass(frozen=True)
class Trouble:
    """Guests by what is wrong with them."""

    refusing: tuple[str, ...] = ()  # never acknowledge a suspend request
    crashing: tuple[str, ...] = ()  # die when they wake up at their destination

    def record(self) -> dict[str, Any]:
        """For a file."""
        return {"refusing": self.refusing, "crashing": self.crashing}

    @staticmethod
    def of(record: Mapping[str, Any]) -> Trouble:
        """From a file."""
        return Trouble(tuple(record["refusing"]), tuple(record["crashing"]))


def choose(fleet: Fleet, whole_class: bool = False) -> Trouble:
    """One of each kind, where the fleet has guests for it: the same ones every time.

    `whole_class`: every guest of the fragile class crashes.
    """
    movable = [guest for guest in fleet.guests if guest.evacuation is Evacuation.MOVE]
    fragile = [guest for guest in movable if guest.guest_class == FRAGILE_CLASS]
    sturdy = [guest for guest in movable if guest.guest_class != FRAGILE_CLASS]
    alone = [guest for guest in sturdy if not guest.apart and "hvm" not in guest.needs]
    crashing = tuple(guest.name for guest in fragile) if whole_class else _middle(fragile)
    return Trouble(refusing=_middle(alone), crashing=crashing)


def _middle(guests: list[Guest]) -> tuple[str, ...]:
    return (guests[len(guests) // 2].name,) if guests else ()


def arm(world_dir: Path, trouble: Trouble) -> None:
    """Let the simulated guests behave so."""
    world = World(str(world_dir))
    for guest in trouble.refusing:
        faults.put(world, faults.GUEST, guest, "ignores-suspend", None, "")
    for guest in trouble.crashing:
        faults.put(world, faults.GUEST, guest, "crashes-on-resume", None, "")


def mend(world_dir: Path, trouble: Trouble) -> None:
    """Let them behave from now on, as if their owners had brought another kernel."""
    world = World(str(world_dir))
    for guest in trouble.crashing:
        faults.clear(world, faults.GUEST, guest, "crashes-on-resume")
