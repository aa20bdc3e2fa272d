"""More seeds as a remedy in a rollout's forecast: searched for while p90 misses the deadline.

The search plans the rest several times, which takes seconds for a large fleet. A service does it
beside its answers: the next forecast has what was found. It is shown for a while, the longer the
longer it took.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from scheduler.book import Book
from scheduler.forecast import Forecast, Remedy
from scheduler.forecast_seeds import more_seeds
from scheduler.forecast_works import ceilings, works_of
from scheduler.store import Store

KEEP_S = 120.0
COST_FACTOR = 30.0


class SeedAdvice:
    """For one rollout. `waits`: who asks waits for the search, as nobody asks again."""

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float],
        log: Callable[[str], None],
        *,
        waits: bool,
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._log = log
        self._waits = waits
        self._searching = threading.Lock()
        self._found: tuple[Remedy, ...] = ()
        self._generation = 0
        self._until_s = float("-inf")

    def added(self, said: Forecast, book: Book) -> Forecast:
        """The forecast with what more seeds or spare hosts would change. Raises redis errors."""
        if said.deadline is None or said.p90_at <= said.deadline:
            return said
        rollout = book.rollout
        old = rollout.generation != self._generation or self._monotonic() >= self._until_s
        if old and self._searching.acquire(blocking=False):
            self._begin(said, book)
        found = self._found if rollout.generation == self._generation else ()
        return said.model_copy(update={"remedies": (*said.remedies, *found)})

    def _begin(self, said: Forecast, book: Book) -> None:
        """With the lock that was taken, and that the search gives back."""
        rollout = book.rollout
        try:
            document = self._store.fleet_document(rollout.id, rollout.generation)
            works, limits = works_of(book, said.made_at), ceilings(rollout)
        except BaseException:
            self._searching.release()
            raise
        search = partial(more_seeds, book, document or b"{}", works, limits, said)
        if self._waits:
            self._search(search, rollout.generation)
        else:
            work = partial(self._search, search, rollout.generation)
            threading.Thread(target=work, name="seeds", daemon=True).start()

    def _search(self, search: Callable[[], tuple[Remedy, ...]], generation: int) -> None:
        began_s = self._monotonic()
        try:
            found = search()
        except Exception as error:  # the forecast stands without it, and is not to search again
            self._log(f"more seeds could not be searched for: {type(error).__name__}: {error}")
            found = ()
        ended_s = self._monotonic()
        self._found, self._generation = found, generation
        self._until_s = ended_s + max(KEEP_S, COST_FACTOR * (ended_s - began_s))
        self._searching.release()
