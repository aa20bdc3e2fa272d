"""Forecasts and what pauses cost, made from the store; also as a process of its own.

    python -m scheduler.service.forecaster

Playing the rest of a thousand hosts many times over takes seconds of computing, in which the other
threads of a Python process have to wait for their turns. So the service asks this process: a
question is a line of JSON on its standard input, the answer one on its standard output. It ends
with its standard input, and so with whoever asks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from redis.exceptions import RedisError

from scheduler.forecast import Asked, Forecast, forecast
from scheduler.forecast_pause import PauseCost, pause_cost
from scheduler.frozen import Frozen
from scheduler.link import Away, quick
from scheduler.serve import SystemClock, log
from scheduler.service.book_reader import BookReader
from scheduler.service.exposure import guests_at_start
from scheduler.service.fleet_reader import Clock
from scheduler.service.seed_advice import SeedAdvice
from scheduler.settings import Settings
from scheduler.store import NoRollout, Store
from scheduler.veil import VeiledLog

KEPT_ROLLOUTS = 4
POLITE = 5
"""Whoever answers people goes first."""


class Question(Frozen):
    """What is asked: a rollout's forecast, or with `pause_s` what a pause of so long costs."""

    rollout: str
    pause_s: float | None = None


class Answer(Frozen):
    """One of them is given."""

    forecast: Forecast | None = None
    pause: PauseCost | None = None
    unknown: str = ""  # there is no such rollout
    away: str = ""  # Redis does not answer
    defect: str = ""


class _Known:
    """One rollout, and what is kept of it between questions."""

    def __init__(self, store: Store, rollout_id: str, advice: SeedAdvice) -> None:
        self.books = BookReader(store, rollout_id)
        self.advice = advice
        self.at_start = guests_at_start(store.fleet_document(rollout_id, 1))


class Forecaster:
    """Answers questions; for one thread. `waits`: also for a search for more seeds."""

    def __init__(
        self, store: Store, clock: Clock, log: Callable[[str], None], *, waits: bool
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._waits = waits
        self._known: dict[str, _Known] = {}

    def forecast(self, rollout_id: str) -> Forecast:
        """When it will have ended, and what would help. Raises NoRollout, redis errors."""
        known = self._of(rollout_id)
        book = known.books.read()
        asked = Asked(remedies=True, at_start=known.at_start)
        return known.advice.added(forecast(book, self._clock.now(), asked), book)

    def pause_cost(self, rollout_id: str, for_s: float) -> PauseCost:
        """What a pause from now on costs. Raises NoRollout, redis errors."""
        book = self._of(rollout_id).books.read()
        return pause_cost(book, self._clock.now(), for_s, Asked())

    def stop(self) -> None:
        """What is asked is answered to its end: nothing is left to stop."""

    def answer(self, question: Question) -> Answer:
        """The same as a document; what goes wrong is in it."""
        try:
            if question.pause_s is None:
                return Answer(forecast=self.forecast(question.rollout))
            return Answer(pause=self.pause_cost(question.rollout, question.pause_s))
        except NoRollout as error:
            return Answer(unknown=str(error))
        except RedisError as error:
            return Answer(away=str(error))
        except Exception as error:  # the one who asked is told, and goes on without it
            return Answer(defect=f"{type(error).__name__}: {error}")

    def _of(self, rollout_id: str) -> _Known:
        known = self._known.pop(rollout_id, None)
        if known is None:
            advice = SeedAdvice(self._store, self._clock.monotonic, self._log, waits=self._waits)
            known = _Known(self._store, rollout_id, advice)
            known.books.read()  # raises NoRollout before anything is kept
        self._known[rollout_id] = known
        while len(self._known) > KEPT_ROLLOUTS:
            del self._known[next(iter(self._known))]
        return known


def main() -> int:
    """Answer until standard input ends; 6 where Redis does not answer at the start."""
    os.nice(POLITE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks, whose end ends us
    try:
        store = Store(quick(Settings().redis_url), f"forecaster-{os.getpid()}")
    except Away as error:
        print(Answer(away=str(error)).model_dump_json(), flush=True)
        return 6
    clock = SystemClock()
    forecaster = Forecaster(store, clock, VeiledLog(log, store, clock.now), waits=False)
    for line in sys.stdin:
        answer = forecaster.answer(Question.model_validate_json(line))
        print(answer.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
