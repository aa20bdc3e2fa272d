"""Everything that holds a rollout, its waves and its hosts, with since when and by whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from scheduler.book import Book
from scheduler.comeback import LACKING
from scheduler.frozen import Frozen
from scheduler.in_flight import frozen_moves, must_end_first
from scheduler.late_wave import listed
from scheduler.monitors import WORDS
from scheduler.outcomes import describe
from scheduler.rollout import ENDED, RolloutState, Step
from scheduler.wave_holds import LIVE
from scheduler.waves import Hold

UNCLEAR = frozenset({"unknown", "both"})
"""Outcomes of a step under way that a person has to look into."""


class HeldView(Frozen):
    """Something that is held, and by what; the same thing may be held by several at once."""

    what: str  # `rollout`, `wave 3`, `host h1`, `guest db-1`
    reason: str
    since: datetime
    by: str


def holds(book: Book) -> tuple[HeldView, ...]:
    """All of it: the rollout's first, then waves by number, hosts by name, guests by name.

    Nothing but its own word holds a rollout that has ended.
    """
    if book.rollout.state in ENDED:
        return tuple(
            HeldView(what=what, reason=hold.reason, since=hold.since, by=hold.by)
            for what, hold in _rollout(book)
        )
    guests = sorted((*_unclear(book), *_down(book)), key=lambda one: one[0])
    return tuple(
        HeldView(what=what, reason=hold.reason, since=hold.since, by=hold.by)
        for what, hold in (*_rollout(book), *_waves(book), *_hosts(book), *guests)
    )


def left_out(book: Book) -> tuple[HeldView, ...]:
    """Hosts that the rollout goes on without, and why."""
    found = [book.hosts[name] for name in sorted(book.hosts)]
    return tuple(
        HeldView(what=f"host {one.name}", **one.left_out.model_dump())
        for one in found
        if one.left_out
    )


def unmonitored(book: Book) -> tuple[HeldView, ...]:
    """Guests that run without xl's monitor, and since when."""
    found = [book.guests[name] for name in sorted(book.guests)]
    return tuple(
        HeldView(
            what=f"guest {one.name}",
            reason=f"it runs on {one.host} {WORDS}",
            since=one.alone_since,
            by="xenroll",
        )
        for one in found
        if one.alone_since and not (one.crashed or one.down)
    )


def _rollout(book: Book) -> Iterator[tuple[str, Hold]]:
    if not book.rollout.hold:
        return
    yield "rollout", book.rollout.hold
    first = must_end_first(book) if book.rollout.state is RolloutState.REPLANNING else []
    if first:
        text = f"it is planned anew once this has ended: {listed(first)}"
        yield "rollout", Hold(reason=text, since=book.rollout.hold.since, by="xenroll")


def _waves(book: Book) -> Iterator[tuple[str, Hold]]:
    for number, wave in sorted(book.waves.items()):
        if wave.state in LIVE:
            found = [wave.paused] if wave.paused else []
            yield from ((f"wave {number}", hold) for hold in (*found, *wave.holds))


def _hosts(book: Book) -> Iterator[tuple[str, Hold]]:
    frozen = {name: step for step in frozen_moves(book) for name in step.hosts}
    alone = (step for step in book.running() if step.guest is None)  # reboots, live patches
    unclear = [step for step in alone if step.outcome in UNCLEAR | {LACKING}]
    for name in sorted(book.hosts):
        host = book.hosts[name]
        found = [host.paused, host.stopped, None if host.left_out else host.aside]
        found += [_not_whole(step) for step in unclear if step.host == name]
        if name in frozen and not host.aside:
            since = frozen[name].held_since or frozen[name].ordered_at or book.rollout.created_at
            found.append(_frozen(frozen[name], since))
        yield from ((f"host {name}", one) for one in found if one)


def _unclear(book: Book) -> Iterator[tuple[str, Hold]]:
    """Guests of which nobody can tell where they run, beside those that hang on silent hosts."""
    frozen = {step.id for step in frozen_moves(book)}
    for step in book.running():
        if step.guest and step.held_since and step.outcome in UNCLEAR and step.id not in frozen:
            text = f"{describe(step)}: {step.reason}; evidence: xenroll guest evidence {step.guest}"
            yield f"guest {step.guest}", Hold(reason=text, since=step.held_since, by="xenroll")


def _not_whole(step: Step) -> Hold | None:
    """A host that is back from its reboot and lacks something, or of which nobody can tell."""
    since = step.held_since
    return Hold(reason=step.reason, since=since, by="xenroll") if since else None


def _frozen(step: Step, since: datetime) -> Hold:
    end = "until the other end is heard again, nobody can tell how this ends"
    reason = f"{end}: {describe(step)}; evidence: xenroll guest evidence {step.guest}"
    return Hold(reason=reason, since=since, by="xenroll")


def _down(book: Book) -> Iterator[tuple[str, Hold]]:
    """Guests that were shut down, and are not started before somebody says more."""
    stands = book.rollout.state in (RolloutState.PAUSED, RolloutState.STOPPED)
    whole = book.rollout.hold if stands else None
    for name in sorted(book.guests):
        guest = book.guests[name]
        host = book.hosts.get(guest.host) if guest.down else None
        if host is None:
            continue
        wave = book.waves.get(host.wave or 0)
        held = [whole, wave.paused if wave else None, host.paused, host.stopped, host.aside]
        why = next((one for one in held if one), None)
        if why:
            text = f"it stays shut down on {host.name}: {why.reason}"
            yield f"guest {name}", Hold(reason=text, since=guest.down_since or why.since, by=why.by)
