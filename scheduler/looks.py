"""Looks that the controller waits for: asked once, by number, answered when every host did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from agents.wire import Report
from scheduler.desk import Desk


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """The time of day, with its zone."""

    def monotonic(self) -> float:
        """Seconds that only grow."""


class Looks:
    """Fresh reports by purpose: an attempt's id, a revert's, or `plan` and a rollout's."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._asked: dict[str, dict[str, int]] = {}
        self._since_s: dict[str, float] = {}

    def fresh(self, purpose: str, hosts: Sequence[str]) -> dict[str, Report] | None:
        """Reports of all these hosts that began after they were first asked for; None: some lack.

        Who is asked for later than others (said to be dead, and heard again) is looked at, too.
        """
        asked = self._asked.setdefault(purpose, {})
        new = [host for host in hosts if host not in asked]
        if new:
            now_ms = int(self._clock.now().timestamp() * 1000)
            asked.update({host: self._desk.ask(host, now_ms) for host in new})
            self._since_s.setdefault(purpose, self._clock.monotonic())
            return None
        reports = {}
        for host in hosts:
            report = self._desk.answer(host, asked[host])
            if report is None or isinstance(self._desk.report(host), str):
                return None
            reports[host] = report
        return reports

    def newest(self, host: str) -> Report | str:
        """The host's newest report if it is fresh and whole, else why not."""
        return self._desk.report(host)

    def last(self, host: str) -> Report | None:
        """What the host showed last, however long ago."""
        return self._desk.newest(host)

    def age_s(self, purpose: str) -> float:
        """Seconds since this look was asked for."""
        return self._clock.monotonic() - self._since_s.get(purpose, self._clock.monotonic())

    def done(self, purpose: str) -> None:
        """The answer was used: the next call asks anew."""
        self._asked.pop(purpose, None)
        self._since_s.pop(purpose, None)
