"""Everything that holds a rollout, its waves and its hosts, with since when and by whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from scheduler.book import Book
from scheduler.frozen import Frozen
from scheduler.wave_holds import LIVE
from scheduler.waves import Hold


class HeldView(Frozen):
    """Something that is held, and by what; the same thing may be held by several at once."""

    what: str  # `rollout`, `wave 3`, `host h1`
    reason: str
    since: datetime
    by: str


def holds(book: Book) -> tuple[HeldView, ...]:
    """All of it: the rollout's first, then waves by number, then hosts by name."""
    return tuple(
        HeldView(what=what, reason=hold.reason, since=hold.since, by=hold.by)
        for what, hold in (*_rollout(book), *_waves(book), *_hosts(book))
    )


def left_out(book: Book) -> tuple[HeldView, ...]:
    """Hosts that the rollout goes on without, and why."""
    found = [book.hosts[name] for name in sorted(book.hosts)]
    return tuple(
        HeldView(what=f"host {one.name}", **one.left_out.model_dump())
        for one in found
        if one.left_out
    )


def _rollout(book: Book) -> Iterator[tuple[str, Hold]]:
    if book.rollout.hold:
        yield "rollout", book.rollout.hold


def _waves(book: Book) -> Iterator[tuple[str, Hold]]:
    for number, wave in sorted(book.waves.items()):
        if wave.state in LIVE:
            found = [wave.paused] if wave.paused else []
            yield from ((f"wave {number}", hold) for hold in (*found, *wave.holds))


def _hosts(book: Book) -> Iterator[tuple[str, Hold]]:
    for name in sorted(book.hosts):
        host = book.hosts[name]
        yield from ((f"host {name}", one) for one in (host.paused, host.stopped) if one)
