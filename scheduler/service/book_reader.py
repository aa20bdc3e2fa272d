"""Reads one rollout again and again: what has not changed is neither parsed nor indexed again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel

from scheduler.book import Book
from scheduler.rollout import Change, GuestRecord, HostRecord, Rollout, Step
from scheduler.store import RawBook, Store
from scheduler.waves import WaveRecord

Record = TypeVar("Record", bound=BaseModel)


class BookReader:
    """One rollout's newest Book. A Book that was handed out is never changed."""

    def __init__(self, store: Store, rollout_id: str) -> None:
        self._store = store
        self._id = rollout_id
        self._book: Book | None = None
        self._raw: frozenset[bytes] = frozenset()

    def read(self) -> Book:
        """The rollout as it is now. Raises NoRollout."""
        book = self._book
        if book is None or self._store.head(self._id).version != book.rollout.version:
            raw = self._store.raw_book(self._id)
            self._book = book = self._next(raw)
            self._raw = frozenset(one for table in raw[1:] for one in table)
        return book

    def _next(self, raw: RawBook) -> Book:
        head = Rollout.model_validate_json(raw.head)
        before = self._book
        # A server that lost its newest writes, or got an older copy back, is read from scratch.
        if before is not None and head.version > before.rollout.version:
            book = before.copy()
            book.apply(self._change(head, raw))
            if _counts(book) == tuple(map(len, raw[1:])):
                return book
        self._raw = frozenset()
        book = Book(head, {}, {}, {})
        book.apply(self._change(head, raw))
        return book

    def _change(self, head: Rollout, raw: RawBook) -> Change:
        return Change(
            rollout=head,
            steps={step.id: step for step in self._new(Step, raw.steps)},
            hosts={host.name: host for host in self._new(HostRecord, raw.hosts)},
            guests={guest.name: guest for guest in self._new(GuestRecord, raw.guests)},
            waves={wave.number: wave for wave in self._new(WaveRecord, raw.waves)},
        )

    def _new(self, model: type[Record], raw: Iterable[bytes]) -> Iterable[Record]:
        return (model.model_validate_json(one) for one in raw if one not in self._raw)


def _counts(book: Book) -> tuple[int, ...]:
    return len(book.steps), len(book.hosts), len(book.guests), len(book.waves)
