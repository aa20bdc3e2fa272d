"""Guests that were shut down on this host, as its journal tells."""

from __future__ import annotations

from collections.abc import Iterable

from agents.journal import Journal, read_record
from agents.wire import Kind

TOLD_S = 3600.0
"""For so long a stop that has ended is told even without an order: a server that falls back to what
it held before forgets that it ordered it, and the guest would stay down."""


def stopped_guests(journal: Journal, rollout_id: str) -> frozenset[str]:
    """Names of the guests that this rollout shut down here, and did not start again since.

    One that was started may have gone anywhere: its link here would start a second copy.
    """
    ids = journal.ids()
    return frozenset(_stopped_last(journal, ids, rollout_id))


def lately_stopped(journal: Journal, now_s: float) -> frozenset[str]:
    """Ids of attempts that shut a guest down in the last `TOLD_S`, where none started it since.

    `now_s`: by the clock of the files' times.
    """
    fresh = [one for one in journal.ids() if now_s - _changed_s(journal, one) <= TOLD_S]
    return frozenset(_stopped_last(journal, fresh).values())


def _stopped_last(
    journal: Journal, ids: Iterable[str], rollout_id: str | None = None
) -> dict[str, str]:
    """guest -> attempt that shut it down, where that is the newest of its stops and starts."""
    found: list[tuple[str, str, str, bool]] = []
    for attempt_id in ids:
        directory = journal.directory(attempt_id)
        order = read_record(directory / "order.json") or {}
        kind, mine = order.get("kind"), rollout_id in (None, order.get("rollout_id"))
        if not mine or kind not in (Kind.STOP, Kind.START) or not order.get("guest"):
            continue
        started = read_record(directory / "started.json") or {}
        ended = read_record(directory / "exit.json") or {}
        if started and (kind == Kind.START or ended.get("exit_code") == 0):
            when = str(started.get("started_at"))
            found.append((when, str(order["guest"]), attempt_id, kind == Kind.STOP))
    newest = {guest: (attempt_id, stops) for _, guest, attempt_id, stops in sorted(found)}
    return {guest: attempt_id for guest, (attempt_id, stops) in newest.items() if stops}


def _changed_s(journal: Journal, attempt_id: str) -> float:
    try:
        return journal.directory(attempt_id).stat().st_mtime
    except FileNotFoundError:  # it was taken away meanwhile
        return float("-inf")
