"""What the machines themselves show when a rollout has ended; nothing here asks the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planner.fleet import Fleet, Guest
from scheduler.demo.layout import fixed_build
from scheduler.demo.trouble import Trouble
from scheduler.standin.ledger import audit
from scheduler.standin.store import World, look, runnable


@dataclass(frozen=True)
class Verdict:
    """Whether the fleet is as it should be, and in words what was found."""

    good: bool
    lines: tuple[str, ...]


def judge(world_dir: Path, fleet: Fleet, trouble: Trouble) -> Verdict:
    """Look at every machine: its build, and who runs there; and at the ledger of the whole run."""
    world = World(str(world_dir))
    states = {host.name: look(world, host.name) for host in fleet.hosts}
    running = Counter(uuid for state in states.values() for uuid in runnable(state).values())
    wrong = [
        *_wrong_hosts(fleet, {name: state["xen"]["build_id"] for name, state in states.items()}),
        *_wrong_guests(fleet, running, trouble),
        *audit(world),
    ]
    alive = sum(running[guest.uuid or ""] == 1 for guest in fleet.guests)
    found = (
        f"seen on the machines: {len(fleet.hosts)} hosts, {alive} of {len(fleet.guests)} guests "
        f"running exactly once, {len(trouble.crashing)} made to crash"
    )
    return Verdict(not wrong, (found, *(f"WRONG: {line}" for line in wrong)))


def _wrong_hosts(fleet: Fleet, builds: dict[str, str]) -> Iterator[str]:
    fixed = fixed_build(fleet)
    for host in fleet.hosts:
        if builds[host.name] != fixed:
            yield f"{host.name} runs build {builds[host.name][:12]}, not {fixed[:12]}"


def _wrong_guests(fleet: Fleet, running: Counter[str], trouble: Trouble) -> Iterator[str]:
    for guest in fleet.guests:
        times = running[guest.uuid or ""]
        if times != 1 and not (_may_be_dead(guest, trouble) and times == 0):
            yield f"{guest.name} runs {times} times"


def _may_be_dead(guest: Guest, trouble: Trouble) -> bool:
    return guest.name in trouble.crashing
