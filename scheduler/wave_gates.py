"""When a wave opens and when it has ended; what holds one is written into its record. Pure."""

from __future__ import annotations

from scheduler.draft import Draft
from scheduler.hooking import ask_early
from scheduler.rollout import HostState
from scheduler.wave_holds import BEFORE, LIVE, Answers, drain_holds, kept, not_back, wave_holds
from scheduler.waves import Hold, WaveRecord, WaveState


def tend(draft: Draft, answers: Answers) -> None:
    """Bring every wave up to date: ended, opened, or held with every reason there is."""
    _adopt(draft)
    ask_early(draft)
    draining = drain_holds(draft, answers)
    for number in sorted(draft.book.waves.keys() | draft.waves.keys()):
        wave = draft.wave(number)
        if wave is None or wave.state not in LIVE:
            continue
        if wave.hosts and not not_back(draft, wave):
            draft.put_wave(wave, state=WaveState.ENDED, holds=(), ended_at=draft.now)
            draft.say("wave", f"wave {number} has ended")
        elif wave.state is WaveState.WAITING:
            _open(draft, wave, wave_holds(draft, wave, answers))
        else:
            _hold_drains(draft, wave, draining)


def _adopt(draft: Draft) -> None:
    """A rollout that began without records of its waves gets them now; none is held."""
    hosts = draft.book.hosts.values()
    for number in {host.wave for host in hosts if host.wave is not None}:
        if draft.wave(number) is None:
            names = tuple(sorted(host.name for host in hosts if host.wave == number))
            draft.put_wave(WaveRecord(number=number, hosts=names, state=WaveState.OPEN))


def _open(draft: Draft, wave: WaveRecord, holds: list[Hold]) -> None:
    if holds:
        _note(draft, wave, holds)
        return
    draft.put_wave(wave, state=WaveState.OPEN, holds=(), opened_at=draft.now)
    if wave.holds:
        draft.say("wave", f"wave {wave.number} is open")


def _hold_drains(draft: Draft, wave: WaveRecord, holds: list[Hold]) -> None:
    waiting = any(draft.host(name).state is HostState.WAITING for name in wave.hosts)
    _note(draft, wave, holds if waiting else [])


def _note(draft: Draft, wave: WaveRecord, holds: list[Hold]) -> None:
    known = {hold.by for hold in wave.holds}
    draft.put_wave(wave, holds=kept(wave.holds, holds))
    for hold in holds:
        if hold.by not in known and hold.by != BEFORE:
            draft.say("held", f"wave {wave.number}: {hold.reason}")
