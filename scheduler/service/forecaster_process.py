"""The process that makes forecasts: started at the first question, again if it died."""

from __future__ import annotations

import subprocess
import sys
import threading

from pydantic import ValidationError
from redis.exceptions import ConnectionError as StoreAway

from scheduler.forecast import Forecast
from scheduler.forecast_pause import PauseCost
from scheduler.service.forecaster import Answer, Question
from scheduler.service.forecasts import ForecasterLost
from scheduler.store import NoRollout

COMMAND = (sys.executable, "-m", "scheduler.service.forecaster")
TRIES = 2


class ForecasterProcess:
    """Asks that process, one question after the other. It inherits our environment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._ended = False

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process else None

    def forecast(self, rollout_id: str) -> Forecast:
        """When it will have ended. Raises NoRollout, a redis error, ForecasterLost."""
        found = self._ask(Question(rollout=rollout_id)).forecast
        if found is None:
            raise ForecasterLost("an answer without a forecast")
        return found

    def pause_cost(self, rollout_id: str, for_s: float) -> PauseCost:
        """What a pause costs. Raises NoRollout, a redis error, ForecasterLost."""
        found = self._ask(Question(rollout=rollout_id, pause_s=for_s)).pause
        if found is None:
            raise ForecasterLost("an answer without what a pause costs")
        return found

    def stop(self) -> None:
        """End it, whatever it computes: nothing of it is kept."""
        self._ended = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:  # who waited for an answer reaps it
            self._reap()

    def _ask(self, question: Question) -> Answer:
        with self._lock:
            if self._ended:
                raise ForecasterLost("it was told to end")
            for left in range(TRIES - 1, -1, -1):
                try:
                    answer = self._told(question)
                    break
                except (OSError, ValidationError) as error:
                    self._reap()
                    if self._ended or not left:
                        raise ForecasterLost(f"no answer: {type(error).__name__}") from None
        if answer.unknown:
            raise NoRollout(answer.unknown)
        if answer.away:
            raise StoreAway(answer.away)
        if answer.defect:
            raise ForecasterLost(answer.defect)
        return answer

    def _told(self, question: Question) -> Answer:
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(question.model_dump_json() + "\n")
        self._process.stdin.flush()
        return Answer.model_validate_json(self._process.stdout.readline())

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stdin):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                continue  # a question that was never read
