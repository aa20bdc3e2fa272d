"""Watches a move from the source while it runs, for the bounds of its blackout.

Done by the job that waits for the move, beside the supervisor, so that nothing here can disturb
`xl migrate`: it reads xl's messages from the journal, and asks `xl list` for the one domain, seldom
while memory is copied for the first time and often after that. What it knows is in `watch.json` of
the attempt's journal, so that a worker that takes over goes on with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from agents import blackout, journal, xl, xl_parse
from agents.blackout import Watch
from agents.command import CommandError, run
from agents.copies import Condition, condition
from agents.journal import Journal
from agents.settings import Settings
from agents.wire import Kind, Order
from agents.xl_parse import ParseError

log = logging.getLogger("agent.watch")

MIB = 2**20
SHARE = 3.0
"""Times as long as `xl list` took, it is left alone: it takes a quarter of a CPU at most."""

KEPT_EVERY_S = 1.0


class MoveWatch:
    """One move under way. `clock` only grows, and is the same for every process of this host."""

    def __init__(
        self,
        settings: Settings,
        order: Order,
        directory: Path,
        ran_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ran_s`: when a gate began to look that then saw the guest run; None: not by us."""
        self._settings, self._order, self._directory = settings, order, directory
        self._clock = clock
        self._watch = (
            Watch(ran_s=ran_s, looked_s=ran_s)
            if ran_s is not None
            else blackout.taken_up(journal.watch_of(directory), clock())
        )
        self._ask_at_s = clock() + settings.watch_far_s
        self._kept_s = float("-inf")
        self._well = True

    def look(self) -> None:
        """One round. What cannot be read or written ends the watch, never the move."""
        if not self._well:
            return
        before = self._watch
        try:
            self._hear()
            self._ask()
            self._keep(before)
        except OSError as error:
            log.warning("attempt %s is not watched: %s", self._order.attempt_id, error)
            self._well = False

    def _keep(self, before: Watch) -> None:
        """What is new, at once; that nothing is, once a second."""
        now_s = self._clock()
        if _marks(self._watch) != _marks(before) or now_s - self._kept_s >= KEPT_EVERY_S:
            journal.keep_watch(self._directory, self._watch)
            self._kept_s = now_s

    def _hear(self) -> None:
        from_s = self._clock()
        said = journal.said(self._directory)
        self._watch = blackout.heard(self._watch, said, from_s, self._clock())

    def _ask(self) -> None:
        """Whether the guest is suspended here, if it is time to ask and not known yet."""
        from_s = self._clock()
        if from_s < self._ask_at_s or self._watch.stood_s is not None:
            return
        suspended = self._suspended()
        to_s = self._clock()
        if suspended is not None:
            self._watch = blackout.shown(self._watch, suspended, from_s, to_s)
        settings = self._settings
        pause_s = settings.watch_near_s if self._copied_once() else settings.watch_far_s
        self._ask_at_s = to_s + max(pause_s, SHARE * (to_s - from_s))

    def _suspended(self) -> bool | None:
        """None where `xl list` does not show the guest, or says nothing that can be read."""
        argv = xl.list_domains(self._settings)
        try:
            said = run(argv, self._settings.xl_timeout_s).stdout
            rows = xl_parse.parse_list(said)
        except (CommandError, ParseError):  # gone, or busy: the bounds only stay wider
            return None
        found = [condition(row.state) for row in rows if row.uuid == self._order.guest_uuid]
        if found == [Condition.SUSPENDED]:
            return True
        return False if found == [Condition.RUNS] else None

    def _copied_once(self) -> bool:
        """Whether as much was sent as the guest has: from now on it may be suspended any moment."""
        sent = journal.sent_bytes(self._directory)
        return sent is None or sent >= (self._order.guest_memory_mib or 0) * MIB


def _marks(watch: Watch) -> tuple[float | None, ...]:
    return watch.ran_s, watch.stood_s, watch.began_s


def of(
    settings: Settings, book: Journal, attempt_id: str, looked_s: float | None
) -> MoveWatch | None:
    """The watch of an attempt; None where it is no move. `looked_s` as `ran_s` above."""
    order = book.order(attempt_id)
    if order is None or order.kind is not Kind.MOVE:
        return None
    return MoveWatch(settings, order, book.directory(attempt_id), looked_s)
