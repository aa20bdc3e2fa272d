"""Taking up what people want of a wave or a host, and their word that a wave may go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agents.wire import Wanted
from scheduler.book import Book
from scheduler.dead import take_for_dead
from scheduler.draft import Draft
from scheduler.hooking import again
from scheduler.rollout import HostState
from scheduler.waves import Hold, PartWish, WaveRecord, WaveState

WORDS = {Wanted.RUN: "resumed", Wanted.PAUSE: "paused", Wanted.ABORT: "left out"}
FIXED = frozenset({HostState.FIXED, HostState.UNAFFECTED})


@dataclass(frozen=True)
class WantsPart:
    """A person wants `wave:N` or `host:NAME` to run, pause or end; hosts obey already."""

    now: datetime
    part: str
    wish: PartWish


@dataclass(frozen=True)
class Approved:
    """A person lets a wave go on."""

    now: datetime
    wave: int
    approval: Hold


@dataclass(frozen=True)
class SaidDead:
    """A person says that the power of a silent host is cut."""

    now: datetime
    host: str
    said: Hold


PartWord = WantsPart | Approved | SaidDead


def untaken(book: Book, control: Mapping[str, str], now: datetime) -> list[PartWord]:
    """What the control record says of parts that the rollout's records do not say yet."""
    events: list[PartWord] = []
    for field, raw in sorted(control.items()):
        kind, _, name = field.partition(":")
        if kind == "approve" and name:
            wave = book.waves.get(int(name))
            approval = Hold.model_validate_json(raw)
            if wave is not None and wave.approval != approval:
                events.append(Approved(now, wave.number, approval))
        elif kind == "dead" and name in book.hosts:
            if book.hosts[name].dead is None:
                events.append(SaidDead(now, name, Hold.model_validate_json(raw)))
        elif kind in ("wave", "host") and name:
            record = book.waves.get(int(name)) if kind == "wave" else book.hosts.get(name)
            wish = PartWish.model_validate_json(raw)
            if record is not None and record.wish != wish:
                events.append(WantsPart(now, field, wish))
    return events


def take_up(draft: Draft, event: PartWord) -> None:
    """Take up what a person wants of a wave or a host, or their word about one."""
    if isinstance(event, Approved):
        _approved(draft, event)
        return
    if isinstance(event, SaidDead):
        take_for_dead(draft, event.host, event.said)
        return
    kind, _, name = event.part.partition(":")
    if kind == "host":
        _host_wish(draft, name, event.wish)
    else:
        _wave(draft, int(name), event.wish)


def _approved(draft: Draft, event: Approved) -> None:
    wave = draft.wave(event.wave)
    if wave is not None:
        draft.put_wave(wave, approval=event.approval)
        said = event.approval
        draft.say("approved", f"wave {wave.number} by {said.by}: {said.reason}")


def _host_wish(draft: Draft, name: str, wish: PartWish) -> None:
    draft.put_host(name, wish=wish)
    if wish.wanted is Wanted.RUN:
        again(draft, name)
    draft.say(WORDS[wish.wanted], f"{name} by {wish.by}: {wish.reason}", host=name)
    if wish.wanted is Wanted.ABORT:
        draft.put_host(name, left_out=wish.hold(f"{name} was left out"))


def _wave(draft: Draft, number: int, wish: PartWish) -> None:
    wave = draft.wave(number)
    if wave is None:
        return
    draft.put_wave(wave, wish=wish)
    draft.say(WORDS[wish.wanted], f"wave {number} by {wish.by}: {wish.reason}")
    for one in [wave, *_successors(draft, wave)]:
        _wave_wish(draft, one, wish, wish.hold(f"wave {number} was left out"))


def _successors(draft: Draft, wave: WaveRecord) -> list[WaveRecord]:
    """The waves that have the hosts of a wave that a newer plan took apart meanwhile."""
    if wave.state is not WaveState.SUPERSEDED:
        return []
    numbers = {draft.host(name).wave for name in wave.hosts} - {None, wave.number}
    found = [draft.wave(number) for number in sorted(n for n in numbers if n is not None)]
    return [one for one in found if one and one.state in (WaveState.WAITING, WaveState.OPEN)]


def _wave_wish(draft: Draft, wave: WaveRecord, wish: PartWish, why: Hold) -> None:
    if wish.wanted is not Wanted.ABORT:
        draft.put_wave(wave, wish=wish)
        return
    for name in wave.hosts:
        host = draft.host(name)
        if host.state not in FIXED and host.left_out is None:
            draft.put_host(name, left_out=why)
    if wave.state in (WaveState.WAITING, WaveState.OPEN):
        draft.put_wave(wave, wish=wish, state=WaveState.ABORTED, holds=(), ended_at=draft.now)
