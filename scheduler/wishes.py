"""What people may want of a rollout's waves and hosts; behind command line, API and pages alike.

Each call writes one field of the control record, which hosts ask before every start: it is in
force from that moment, whether a controller runs or not. Nothing here prints or knows of HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agents.wire import Wanted
from scheduler.book import Book
from scheduler.rollout import ENDED, HostState
from scheduler.store import Store
from scheduler.waves import Hold, PartWish, WaveRecord, WaveState

START_WAIT_S = 0.8
"""How long an acknowledgement waits for steps that are just being started."""


class WishRefused(Exception):
    """What was asked for makes no sense now; `code` is one word for it.

    `no_wave`, `no_host`: the rollout has none of that name. `ended`, `aborting`, `aborted`,
    `already`, `not_paused`, `not_silent`, `superseded`, `fixed`, `late`: the state that is in the
    way.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Part:
    """One wave or one host of a rollout."""

    wave: int | None = None
    host: str | None = None

    @property
    def field(self) -> str:
        """Its field in the control record."""
        return f"host:{self.host}" if self.host is not None else f"wave:{self.wave}"

    def __str__(self) -> str:
        return f"host {self.host}" if self.host is not None else f"wave {self.wave}"


def wish(
    store: Store, rollout_id: str, part: Part, wanted: Wanted, by: str, reason: str, at: datetime
) -> None:
    """Write down what a person wants of a wave or a host. Raises NoRollout, WishRefused."""
    check(store.book(rollout_id), part, wanted, store.control(rollout_id).get(part.field))
    said = PartWish(wanted=wanted, by=by, reason=reason, at=at)
    answer = store.wish(rollout_id, part.field, said)
    if answer == "aborted":
        raise WishRefused("aborting", f"rollout {rollout_id} is being aborted")
    if answer != "ok":
        raise WishRefused("aborted", f"{part} was aborted, which cannot be taken back")


def check(book: Book, part: Part, wanted: Wanted, wished: str | None) -> None:
    """Refuse what makes no sense in this state; `wished`: the last wish. Raises WishRefused."""
    rollout = book.rollout
    if rollout.state in ENDED:
        raise WishRefused("ended", f"rollout {rollout.id} has ended ({rollout.state})")
    if part.host is not None:
        _check_host(book, part.host, wanted)
    else:
        wave_of(book, part.wave)
    now = PartWish.model_validate_json(wished).wanted if wished else Wanted.RUN
    if now is Wanted.ABORT:
        raise WishRefused("aborted", f"{part} was aborted, which cannot be taken back")
    if wanted is Wanted.PAUSE and now is Wanted.PAUSE:
        raise WishRefused("already", f"{part} is paused already")
    if wanted is Wanted.RUN and now is Wanted.RUN and not _held(book, part):
        raise WishRefused("not_paused", f"{part} is not paused: there is nothing to resume")


def _held(book: Book, part: Part) -> bool:
    """Whether the records hold it otherwise, such as by a pause taken over from an older wave."""
    if part.host is not None:
        host = book.hosts[part.host]
        return host.paused is not None or host.stopped is not None
    return book.waves[part.wave or 0].paused is not None


def _check_host(book: Book, name: str, wanted: Wanted) -> None:
    host = book.hosts.get(name)
    if host is None:
        raise WishRefused("no_host", f"rollout {book.rollout.id} has no host {name}")
    safe = host.state in (HostState.FIXED, HostState.UNAFFECTED) and not host.closed
    if wanted is Wanted.ABORT and safe:
        raise WishRefused("fixed", f"host {name} is {host.state}: there is nothing to abort")
    if host.left_out:
        raise WishRefused("aborted", f"host {name} is left out: {host.left_out.reason}")


def wave_of(book: Book, number: int | None) -> WaveRecord:
    """The wave of that number, if anything can still be wanted of it. Raises WishRefused."""
    wave = book.waves.get(number or 0)
    if wave is None:
        known = ", ".join(str(n) for n, w in sorted(book.waves.items()) if _lives(w))
        text = f"rollout {book.rollout.id} has no wave {number}; there are {known or 'none'}"
        raise WishRefused("no_wave", text)
    if wave.state is WaveState.SUPERSEDED:
        now = sorted({str(book.hosts[name].wave) for name in wave.hosts if name in book.hosts})
        text = f"wave {number} was planned anew: its hosts are in wave {', '.join(now)}"
        raise WishRefused("superseded", text)
    if not _lives(wave):
        raise WishRefused("ended", f"wave {number} is {wave.state}")
    return wave


def _lives(wave: WaveRecord) -> bool:
    return wave.state in (WaveState.WAITING, WaveState.OPEN)


def say_dead(store: Store, rollout_id: str, host: str, by: str, reason: str, at: datetime) -> None:
    """A person's word that a silent host's power is cut. Raises NoRollout, WishRefused."""
    book = store.book(rollout_id)
    if book.rollout.state in ENDED:
        raise WishRefused("ended", f"rollout {rollout_id} has ended ({book.rollout.state})")
    record = book.hosts.get(host)
    if record is None:
        raise WishRefused("no_host", f"rollout {rollout_id} has no host {host}")
    if record.lost:
        raise WishRefused("already", f"the rollout goes on without {host} already: {record.reason}")
    if not record.silent and record.state is not HostState.REBOOTING:
        raise WishRefused("not_silent", f"host {host} reports: it is not dead")
    store.say_dead(rollout_id, host, Hold(reason=reason, since=at, by=by).model_dump_json())


def approve(store: Store, rollout_id: str, wave: int, by: str, reason: str, at: datetime) -> None:
    """Let a wave go on, before or while it waits for that. Raises NoRollout, WishRefused."""
    book = store.book(rollout_id)
    if book.rollout.state in ENDED:
        raise WishRefused("ended", f"rollout {rollout_id} has ended ({book.rollout.state})")
    if store.control(rollout_id).get("wanted") == Wanted.ABORT:
        raise WishRefused("aborting", f"rollout {rollout_id} is being aborted")
    record = wave_of(book, wave)
    if record.state is WaveState.OPEN:
        raise WishRefused("already", f"wave {wave} is open already")
    if record.late:
        held = "; ".join(hold.reason for hold in record.holds)
        raise WishRefused("late", f"wave {wave} cannot be approved: {held}")
    if record.approval:
        raise WishRefused("already", f"wave {wave} was approved by {record.approval.by} already")
    store.approve(rollout_id, wave, Hold(reason=reason, since=at, by=by).model_dump_json())


def let_starts_end(ask: Callable[[], set[str]], monotonic: Callable[[], float]) -> int:
    """After a pause or an abort: wait for steps that were claimed a moment before it.

    `ask` tells the attempts that a host has claimed and does not yet know the start of. Returns how
    many of the first ones may still be starting; 0: nothing starts any more from now on.
    """
    end_s = monotonic() + START_WAIT_S
    starting = ask()
    while starting and monotonic() < end_s:
        time.sleep(0.02)
        starting &= ask()
    return len(starting)
