"""Asks every source of alerts again and again, beside the controller's loop and never in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from scheduler.alert_sources import NoAnswer, Source, firing
from scheduler.gates import Alerts, Answer

ROUND_S = 0.5


class AlertWatch:
    """Keeps the newest answer of each source; threads of its own ask, from the first `want` on."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._wanted: dict[Source, Alerts] = {}
        self._answers: dict[Source, Answer] = {}
        self._ending = threading.Event()
        self._threads: dict[Source, threading.Thread] = {}

    def want(self, policies: Iterable[Alerts]) -> None:
        """Ask what these name from now on, and nothing else."""
        self._wanted = {source: alerts for alerts in policies for source in alerts.sources}
        for source in self._wanted:
            if source not in self._threads:
                thread = threading.Thread(target=self._keep_asking, args=(source,), daemon=True)
                self._threads[source] = thread
                thread.start()

    def answers(self, alerts: Alerts) -> Mapping[str, Answer]:
        """The newest answers by the sources' names; a source that was not asked yet has none."""
        found = {source.name: self._answers.get(source) for source in alerts.sources}
        return {name: answer for name, answer in found.items() if answer is not None}

    def close(self) -> None:
        """Ask nobody any more."""
        self._ending.set()

    def _keep_asking(self, source: Source) -> None:
        # One thread each: a source that hangs does not make the answers of others old.
        asked_s = float("-inf")
        while not self._ending.is_set():
            alerts = self._wanted.get(source)
            if alerts is not None and time.monotonic() - asked_s >= alerts.every_s:
                asked_s = time.monotonic()
                self._answers[source] = self._ask(source, alerts.timeout_s)
            self._ending.wait(ROUND_S)

    def _ask(self, source: Source, timeout_s: float) -> Answer:
        try:
            return Answer(at=self._now(), firing=firing(source, timeout_s))
        except NoAnswer as error:
            return Answer(at=self._now(), trouble=str(error))
        except Exception as error:  # a thread that ended would never ask again; no answer holds
            text = f"its answer cannot be read: {type(error).__name__}: {error}"
            return Answer(at=self._now(), trouble=text[:300])
