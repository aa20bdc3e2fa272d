"""What is left of a rollout as a forecast plays it: steps, what holds them, limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from agents.wire import Kind
from scheduler.book import Book
from scheduler.draft import Draft
from scheduler.forecast_gates import Begins, OpenTimes, WaveAhead, soaked_s
from scheduler.forecast_runs import Ceilings, Work
from scheduler.forecast_speeds import AFTERCARE, planned_s
from scheduler.hooking import DRAINS
from scheduler.notice import TOLD, told_of
from scheduler.rollout import ENDED, UNDER_WAY, HostState, Rollout, Step, StepState
from scheduler.wave_holds import LIVE, ahead, not_back
from scheduler.waves import WaveRecord, WaveState
from scheduler.withheld import BRINGS_BACK

SETTLING_S = 3.0
"""What looking at the hosts takes after a step has ended."""
SAFE_AFTER = (Kind.REBOOT, Kind.LIVEPATCH)


@dataclass(frozen=True)
class _Known:
    """What all steps of a forecast share."""

    book: Book
    now: datetime
    left: frozenset[str]
    waves: dict[int, WaveAhead]
    before: dict[str, str]  # step of a guest -> the one of the same guest before it, if any is left


def works_of(book: Book, now: datetime) -> list[Work]:
    """What has not ended yet. Cleaning up is short, and not planned."""
    if book.rollout.state in ENDED:
        return []
    left = frozenset(name for name in book.unfinished if book.steps[name].kind not in AFTERCARE)
    known = _Known(book, now, left, _waves_ahead(book, now, left), _before(book, left))
    return [_work(known, book.steps[name]) for name in sorted(left)]


def _work(known: _Known, step: Step) -> Work:
    book, now = known.book, known.now
    ended = step.state in (StepState.SETTLING, StepState.MENDING)
    ran_s = None
    if step.state in UNDER_WAY:
        ran_s = (now - step.ordered_at).total_seconds() if step.ordered_at and not ended else 0.0
    lead_s = book.rollout.notice_s if step.kind in TOLD else 0.0
    first = bool(lead_s) and step.id not in known.before
    guest = book.guest(step.guest or "", step.host)
    told_at = told_of(guest) if first else None
    rests = guest.rest_until if step.kind is Kind.MOVE else None
    may = [step.not_before, rests, told_at + timedelta(seconds=lead_s) if told_at else None]
    not_before = max((at for at in may if at is not None), default=now)
    return Work(
        id=step.id,
        kind=step.kind,
        host=step.host,
        destination=step.destination,
        group=book.hosts[step.host].group if step.host in book.hosts else None,
        needs=tuple(need for need in step.needs if need in known.left),
        planned_start_s=step.planned_start_s,
        planned_s=SETTLING_S if ended else max(0.0, planned_s(step)),
        ran_s=ran_s,
        not_before_s=max(0.0, (not_before - now).total_seconds()),
        wave=None if step.kind in BRINGS_BACK else known.waves.get(step.wave),
        begins=_begins(book, step),
        notice_s=0.0 if told_at else lead_s,
        told_after=known.before.get(step.id, ""),
    )


def _before(book: Book, left: frozenset[str]) -> dict[str, str]:
    if not book.rollout.notice_s:
        return {}
    steps = [book.steps[name] for name in left if book.steps[name].kind in TOLD]
    steps.sort(key=lambda step: (step.guest or "", step.planned_start_s, step.id))
    return {b.id: a.id for a, b in pairwise(steps) if a.guest == b.guest}


def _begins(book: Book, step: Step) -> Begins:
    """What `scheduler.withheld` lets start in an open wave only while nothing holds its drains."""
    wave = book.waves.get(step.wave)
    host = book.hosts.get(step.host)
    if wave is None or host is None or step.kind not in DRAINS:
        return Begins.NOTHING
    if host.wave == step.wave:
        return Begins.HOST if host.state is HostState.WAITING else Begins.NOTHING
    draining = any(book.hosts[name].state is HostState.DRAINING for name in wave.hosts)
    return Begins.NOTHING if draining else Begins.WAVE


def _waves_ahead(book: Book, now: datetime, left: frozenset[str]) -> dict[int, WaveAhead]:
    """The waves whose steps are held by something that takes time."""
    gates, draft = book.rollout.gates, Draft(book, now)
    if not (gates.soak_s or gates.windows or book.rollout.notice_s):
        return {}
    times = OpenTimes(gates.windows, now) if gates.windows else None
    back = {book.steps[n].host: n for n in sorted(left) if book.steps[n].kind in SAFE_AFTER}
    live = [wave for wave in book.waves.values() if wave.state in LIVE]
    return {wave.number: _ahead(draft, wave, times, back) for wave in live}


def _ahead(
    draft: Draft, wave: WaveRecord, times: OpenTimes | None, back: dict[str, str]
) -> WaveAhead:
    waits, soak_s = wave.state is WaveState.WAITING, draft.rollout.gates.soak_s
    before = ahead(draft, wave) if waits else []
    hosts = {name for one in before if one.state in LIVE for name in not_back(draft, one)}
    ends = [one.ended_at for one in before if one.state is WaveState.ENDED and one.ended_at]
    return WaveAhead(
        number=wave.number,
        waits=waits,
        awaits=tuple(back[name] for name in sorted(hosts) if name in back),
        soak_s=soak_s,
        soaked_s=soaked_s(max(ends, default=None), soak_s, draft.now),
        times=times,
    )


def ceilings(rollout: Rollout) -> Ceilings:
    """The limits that the controller keeps to."""
    return Ceilings(
        moves_out=rollout.max_moves_out_per_host,
        moves_in=rollout.max_moves_in_per_host,
        away=max(1, rollout.max_hosts_away),
        away_in_group=rollout.max_hosts_away_per_group,
    )
