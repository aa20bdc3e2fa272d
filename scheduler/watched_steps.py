"""Between a rollout's records and the watch over its guests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from agents.wire import Kind
from scheduler.book import Book
from scheduler.crashes import (
    CrashEvent,
    GuestEnded,
    Member,
    MonitorSeen,
    Quarantined,
    Released,
)
from scheduler.inventory import GuestEntry
from scheduler.rollout import ENDED, Step, StepState, attempt_id
from scheduler.watch import Watch
from scheduler.watched import UNKNOWN_CLASS, Cause, ClassKey, ClassMark, Ending, Life, Trial, covers

MEMBERS_AT_ONCE = 500
"""Guests of a quarantined class that are noted in one write."""


def busy(books: Iterable[Book]) -> frozenset[str]:
    """Guests that steps of ours touch, or that we shut down: what they do is ours to settle."""
    names: set[str] = set()
    for book in books:
        if book.rollout.state not in ENDED:
            names.update(step.guest for step in book.running() if step.guest)
            names.update(guest.name for guest in book.guests.values() if guest.down)
    return frozenset(names)


def carried_out(step: Step) -> bool:
    """Whether this move got its guest to its destination, alive or not."""
    moved = step.kind is Kind.MOVE and step.state is StepState.DONE
    return moved and step.outcome in ("moved", "crashed") and step.ended_at is not None


def trial_of(book: Book, step: Step, classes: Mapping[str, str]) -> Trial | None:
    """The watch that begins with a move; None where the guest's UUID was not noted."""
    record = book.guests.get(step.guest or "")
    if record is None or record.uuid is None or step.ended_at is None:
        return None
    crashed = step.outcome == "crashed"
    return Trial(
        id=attempt_id(book.rollout.id, step.id, step.attempt),
        rollout=book.rollout.id,
        guest=record.name,
        uuid=record.uuid,
        key=ClassKey(
            guest_class=classes.get(record.name) or record.guest_class or UNKNOWN_CLASS,
            build_from=step.build_from,
            build_to=step.build_to,
        ),
        host=step.destination or step.host,
        moved_at=step.ended_at,
        ended_at=step.ended_at if crashed else None,
        cause=Cause.CRASHED if crashed else None,
        in_soak=crashed,
        reason=step.reason if crashed else "",
    )


def life_of(book: Book, step: Step, trial: Trial) -> Life | None:
    """The domain that a move led to, as the settler saw it; None where it is not the guest's any
    more, or was not noted.

    Not what its host shows now: a controller that died right after the move is followed by one
    that looks later, and must still see that the domain is another.
    """
    moved_on = book.guests[trial.guest].host != trial.host
    if trial.ended_at is not None or step.arrived_domid is None or moved_on:
        return None
    return Life(
        name=trial.guest,
        uuid=trial.uuid,
        boot_id=step.arrived_boot_id,
        domid=step.arrived_domid,
        guest_class=trial.key.guest_class,
    )


def ending_on_arrival(trial: Trial) -> Ending:
    """A crash that the settler saw, as an ending like any other."""
    return Ending(
        id=f"{trial.uuid}.{trial.id}",
        at=trial.moved_at,
        guest=trial.guest,
        uuid=trial.uuid,
        key=trial.key,
        host=trial.host,
        cause=Cause.CRASHED,
        reason=trial.reason,
        trial=trial.id,
        after_s=0.0,
        in_soak=True,
    )


def news(
    book: Book,
    now: datetime,
    failed: Iterable[Trial],
    marks: Mapping[str, ClassMark],
    watch: Watch,
    entries: Mapping[str, GuestEntry],
) -> Iterator[CrashEvent]:
    """What a rollout has not heard of yet. `failed`: its moves that ended badly in the soak."""
    for trial in failed:
        record = book.guests.get(trial.guest)
        if record is None or not record.crashed:
            yield GuestEnded(now, trial.guest, trial.host, trial.reason)
    yield from _monitors(book, now, watch)
    for name in book.rollout.quarantined:
        mark = marks.get(name)
        if mark is None or mark.quarantine is None:
            hold = mark.released if mark else None
            by, reason = (hold.by, hold.reason) if hold else ("nobody", "its mark is gone")
            yield Released(now, name, by, reason)
    for mark in marks.values():
        if mark.quarantine is not None:
            members = tuple(_members(book, mark.guest_class, watch, entries))[:MEMBERS_AT_ONCE]
            if members:
                hold = mark.quarantine
                yield Quarantined(now, mark.guest_class, hold.reason, members, hold)


def _monitors(book: Book, now: datetime, watch: Watch) -> Iterator[MonitorSeen]:
    """Guests on this rollout's hosts that xl watches no more, and those for which that is over."""
    for uuid in sorted(watch.alone):
        life, host = watch.lives[uuid], watch.where[uuid]
        record = book.guests.get(life.name)
        if host in book.hosts and (record is None or record.alone_since is None):
            yield MonitorSeen(now, life.name, uuid, host, life.alone_since)
    for record in [one for one in book.guests.values() if one.alone_since]:
        uuid = record.uuid or ""
        if uuid not in watch.alone and all(one.guest != record.name for one in book.running()):
            yield MonitorSeen(now, record.name, uuid, watch.where.get(uuid, ""), None)


def _members(
    book: Book, guest_class: str, watch: Watch, entries: Mapping[str, GuestEntry]
) -> Iterator[Member]:
    """Guests of the class on this rollout's hosts that it does not leave alone yet."""
    for uuid, life in watch.lives.items():
        host = watch.where[uuid]
        if not covers(guest_class, life.guest_class) or host not in book.hosts:
            continue
        record = book.guests.get(life.name)
        if record is None or record.evacuation is None:
            entry = entries.get(life.name)
            yield Member(life.name, host, entry.owner if entry else "")
