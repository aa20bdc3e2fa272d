"""From numbers to the plan: steps with names and ids, in the order of the estimate."""

from __future__ import annotations

from collections.abc import Sequence

from planner.arrays import Arrays
from planner.needs import Draft, WaveHosts
from planner.plan import Step, StepKind, Wave


def steps_of(
    arrays: Arrays,
    drafts: Sequence[Draft],
    starts_s: Sequence[float],
    ends_s: Sequence[float],
) -> tuple[Step, ...]:
    """The steps, by start; what starts together stays in the order of the decisions."""
    order = sorted(range(len(drafts)), key=starts_s.__getitem__)
    ids = [""] * len(drafts)
    for place, number in enumerate(order, start=1):
        ids[number] = f"s{place}"
    host = [host.name for host in arrays.hosts]
    guest = [guest.name for guest in arrays.guests]

    def step(number: int) -> Step:
        draft = drafts[number]
        is_move = draft.kind is StepKind.MOVE
        return Step(
            id=ids[number],
            kind=draft.kind,
            wave=draft.wave + 1,
            needs=tuple([ids[need] for need in draft.needs]),
            start_s=starts_s[number],
            end_s=ends_s[number],
            guest=guest[draft.guest] if draft.guest >= 0 else None,
            source=host[draft.source] if is_move else None,
            destination=host[draft.destination] if is_move else None,
            host=None if is_move else host[draft.host],
        )

    return tuple(step(number) for number in order)


def waves_of(arrays: Arrays, waves: Sequence[WaveHosts]) -> tuple[Wave, ...]:
    """The waves by name, numbered from 1."""
    return tuple(
        Wave(number, tuple(arrays.hosts[host].name for host in wave.hosts), wave.gate)
        for number, wave in enumerate(waves, start=1)
    )
