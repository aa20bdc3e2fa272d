"""When a wave opens and when it has ended; what holds one is written into its record. Pure."""

from __future__ import annotations

from scheduler.draft import Draft
from scheduler.rollout import HostState
from scheduler.waves import Hold, WaveRecord, WaveState

BACK = frozenset({HostState.FIXED, HostState.BLOCKED, HostState.OPENED, HostState.UNAFFECTED})
LIVE = frozenset({WaveState.WAITING, WaveState.OPEN})


def tend(draft: Draft) -> None:
    """Bring every wave up to date: ended, opened, or held with every reason there is."""
    _adopt(draft)
    for number in sorted(draft.book.waves.keys() | draft.waves.keys()):
        wave = draft.wave(number)
        if wave is None or wave.state not in LIVE:
            continue
        if wave.hosts and not not_back(draft, wave):
            wave = draft.put_wave(wave, state=WaveState.ENDED, holds=(), ended_at=draft.now)
            draft.say("wave", f"wave {number} has ended")
        elif wave.state is WaveState.WAITING:
            _open(draft, wave)


def _adopt(draft: Draft) -> None:
    """A rollout that began without records of its waves gets them now; none is held."""
    hosts = draft.book.hosts.values()
    for number in {host.wave for host in hosts if host.wave is not None}:
        if draft.wave(number) is None:
            names = tuple(sorted(host.name for host in hosts if host.wave == number))
            draft.put_wave(WaveRecord(number=number, hosts=names, state=WaveState.OPEN))


def not_back(draft: Draft, wave: WaveRecord) -> list[str]:
    """The hosts of a wave that are still to be rebooted, or on their way."""
    return [name for name in wave.hosts if draft.host(name).state not in BACK]


def _open(draft: Draft, wave: WaveRecord) -> None:
    holds = list(_holds(draft, wave))
    if holds:
        draft.put_wave(wave, holds=kept(wave, holds))
        return
    draft.put_wave(wave, state=WaveState.OPEN, holds=(), opened_at=draft.now)
    if wave.holds:
        draft.say("wave", f"wave {wave.number} is open")


def kept(wave: WaveRecord, holds: list[Hold]) -> tuple[Hold, ...]:
    """The holds, each with the time since when it has held under whatever words."""
    since = {hold.by: hold.since for hold in wave.holds}
    return tuple(h.model_copy(update={"since": since.get(h.by, h.since)}) for h in holds)


def _holds(draft: Draft, wave: WaveRecord) -> list[Hold]:
    before = [one for one in ahead(draft, wave) if one.state in LIVE]
    names = [name for one in before for name in not_back(draft, one)]
    if not names:
        return []
    numbers = ", ".join(str(one.number) for one in before)
    shown = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    text = f"waits for wave {numbers}: {len(names)} hosts are not back ({shown})"
    return [Hold(reason=text, since=draft.now, by="wave before")]


def ahead(draft: Draft, wave: WaveRecord) -> list[WaveRecord]:
    """The waves that have to be back before this one opens."""
    if wave.behind is None:
        return []
    numbers = sorted(n for n in draft.book.waves.keys() | draft.waves.keys() if n <= wave.behind)
    found = [draft.wave(number) for number in numbers]
    return [one for one in found if one is not None]
