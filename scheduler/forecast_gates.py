"""What holds steps beside their needs, as far as the clock alone decides it. Pure.

Soak times, maintenance windows and notices to guests pass by themselves: a forecast keeps to them
as the controller does (`scheduler.wave_holds`, `scheduler.withheld`, `scheduler.notice`). What
waits for somebody is taken to go on at once, and told (`scheduler.forecast_assumed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.windows import Windows, spans

Floats = NDArray[np.float64]

WEEK_S = 7 * 86_400.0
KNOWN_WEEKS = 8
"""Windows are looked up for so long; beyond it each week is as the last one of these."""


class OpenTimes:
    """Maintenance windows in seconds from now, joined where they touch."""

    def __init__(self, windows: Windows, now: datetime) -> None:
        found: list[tuple[float, float]] = []
        for opens, closes in sorted(spans(windows, now, 7 * (KNOWN_WEEKS + 1))):
            opens_s, closes_s = (opens - now).total_seconds(), (closes - now).total_seconds()
            if found and opens_s <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], closes_s))
            elif closes_s > opens_s:
                found.append((opens_s, closes_s))
        self._opens = np.array([opens_s for opens_s, _ in found])
        self._closes = np.array([closes_s for _, closes_s in found])

    def inside(self, at: Floats) -> Floats:
        """The first moment, not before `at`, at which a window is open."""
        weeks = np.maximum(0.0, np.ceil((at - KNOWN_WEEKS * WEEK_S) / WEEK_S)) * WEEK_S
        known = at - weeks
        # The first window that is not over yet; none of a week of windows lies beyond the last.
        number = np.searchsorted(self._closes, known, side="right")
        number = np.minimum(number, len(self._opens) - 1)
        found: Floats = np.maximum(known, self._opens[number]) + weeks
        return found


@dataclass(frozen=True)
class WaveAhead:
    """What the steps of a wave wait for. Times in seconds, from now where nothing else is said."""

    number: int
    waits: bool = False  # it has not opened yet
    awaits: tuple[str, ...] = ()  # steps that bring back the hosts of the waves before
    soak_s: float = 0.0  # after the last of these has ended
    soaked_s: float = 0.0  # when those that are back already have soaked
    times: OpenTimes | None = None


class Begins(StrEnum):
    """What a step begins, so that it may start only while a window is open."""

    NOTHING = ""  # its host is being emptied already: windows do not hold it
    HOST = "host"  # the first step of its host to start begins to drain it
    WAVE = "wave"  # it makes room for a wave of which no host is being emptied yet


class Gated(Protocol):
    """A step as the gates see it (`scheduler.forecast_runs.Work`)."""

    @property
    def host(self) -> str:
        """Who carries it out."""

    @property
    def wave(self) -> WaveAhead | None:
        """What its wave waits for; None: nothing that takes time."""

    @property
    def begins(self) -> Begins:
        """Whether windows hold it."""

    @property
    def notice_s(self) -> float:
        """So long before it its guest is told; 0: it is told already, or nobody is."""

    @property
    def told_after(self) -> str:
        """The step before of the same guest, which is told of one thing at a time."""


class Holding:
    """The gates of all waves, in many runs at once; nothing new starts before `from_s`."""

    def __init__(self, runs: int, from_s: float) -> None:
        self._runs = runs
        self._from_s = from_s
        self._opened: dict[int, Floats] = {}
        self._begun: dict[tuple[Begins, str], Floats] = {}

    def until(self, step: Gated, at: Floats, ended: Mapping[str, Floats]) -> Floats:
        """When a step that could start at `at` may; `ended`: when others end, by their id."""
        wave = step.wave
        if wave is None:
            return at
        opens = self._opens(wave, ended)
        told = np.maximum(opens, self._from_s)
        told = np.maximum(told, ended.get(step.told_after, told))
        at = np.maximum(at, told + step.notice_s)
        if wave.times is None or step.begins is Begins.NOTHING:
            return at
        inside = wave.times.inside(at)
        if step.notice_s:  # outside the windows nobody is told of a host that is still to begin
            inside = np.where(inside > at, wave.times.inside(inside + step.notice_s), inside)
        begun = self._begun.get(_key(step.begins, step, wave))
        return inside if begun is None else np.where(begun <= at, at, inside)

    def begin(self, step: Gated, at: Floats) -> None:
        """A step starts then: the rest of its host is held no longer."""
        if step.wave is None or step.begins is not Begins.HOST:
            return
        for what in (Begins.HOST, Begins.WAVE):
            key = _key(what, step, step.wave)
            before = self._begun.get(key)
            self._begun[key] = at if before is None else np.minimum(before, at)

    def _opens(self, wave: WaveAhead, ended: Mapping[str, Floats]) -> Floats:
        if wave.number in self._opened:
            return self._opened[wave.number]
        opens = np.full(self._runs, wave.soaked_s if wave.waits else 0.0)
        for name in wave.awaits:
            if name in ended:
                np.maximum(opens, ended[name] + wave.soak_s, out=opens)
        if wave.waits and wave.times is not None:
            opens = wave.times.inside(opens)
        if all(name in ended for name in wave.awaits):
            self._opened[wave.number] = opens
        return opens


def _key(what: Begins, step: Gated, wave: WaveAhead) -> tuple[Begins, str]:
    return (what, step.host if what is Begins.HOST else str(wave.number))


def soaked_s(ended_at: datetime | None, soak_s: float, now: datetime) -> float:
    """Seconds until what came back then has soaked."""
    if ended_at is None:
        return 0.0
    return max(0.0, (ended_at + timedelta(seconds=soak_s) - now).total_seconds())
