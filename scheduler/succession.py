"""The waves of a plan as records, and what those of a newer plan take over from the older. Pure.

A number is never given out twice, so that a pause or an approval of a wave never comes to hold
for hosts that its author did not mean.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from planner.plan import Plan
from scheduler.draft import Draft
from scheduler.late_wave import late_record
from scheduler.waves import WaveRecord, WaveState

LEFT = frozenset({WaveState.WAITING, WaveState.OPEN})


def waves_of(
    plan: Plan, generation: int, waves_before: int = 0, late: Collection[str] = ()
) -> dict[int, WaveRecord]:
    """The plan's waves, numbered on from those before it; none is open yet.

    `late`: hosts that come in a wave behind all others (`scheduler.late_wave`).
    """
    records: dict[int, WaveRecord] = {}
    behind: int | None = None
    for wave in plan.waves:
        number = wave.number + waves_before
        records[number] = WaveRecord(
            number=number, generation=generation, hosts=wave.hosts, gate=wave.gate, behind=behind
        )
        behind = number if wave.gate else behind
    if late:
        number = late_number(plan, waves_before)
        records[number] = late_record(number, generation, late)
    return records


def late_number(plan: Plan, waves_before: int) -> int:
    """The number of the wave behind all waves of a plan."""
    return waves_before + len(plan.waves) + 1


def succeed(draft: Draft, waves: dict[int, WaveRecord]) -> None:
    """Put a newer plan's waves in the place of those that are left; before its hosts are."""
    for wave in waves.values():
        draft.put_wave(wave, **_inherited(draft, wave))
    for old in draft.book.waves.values():
        if old.state in LEFT:
            draft.put_wave(old, state=WaveState.SUPERSEDED, holds=(), ended_at=draft.now)


def _inherited(draft: Draft, wave: WaveRecord) -> dict[str, Any]:
    """A pause of any of its hosts' waves; the gate that they waited at; an approval of them all."""
    numbers = {draft.host(h).wave for h in wave.hosts if h in draft.book.hosts} - {None}
    old = [draft.book.waves[n] for n in sorted(n for n in numbers if n in draft.book.waves)]
    waited = [one for one in old if one.state is WaveState.WAITING]
    paused = [one.wish for one in old if one.paused and one.state in LEFT]
    gates = [one.behind for one in waited if one.behind is not None]
    updates: dict[str, Any] = {"wish": paused[0] if paused else None}
    if wave.behind is None and gates and not wave.late:
        updates["behind"] = max(gates)
    if waited and all(one.approval for one in waited):
        updates["approval"] = waited[0].approval
    return updates
