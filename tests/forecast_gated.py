"""Rollouts with gates, for tests of what is forecast of them."""

from __future__ import annotations

from datetime import timedelta

from scheduler.forecast import Asked, forecast
from scheduler.rollout import RolloutState
from scheduler.windows import Window, Windows
from tests.sim import Sim

DAY_S = 86_400.0
HOURLY = Windows(
    zone="UTC",
    windows=tuple(Window(opens=f"{h:02}:00", closes=f"{h:02}:10") for h in (22, 23, 0, 1, 2)),
)
"""START is at 22:00: open for ten minutes, and again after each of four hours."""


def said(sim: Sim) -> tuple[float, float]:
    found = forecast(sim.book, sim.now, Asked())
    return found.p50_s, found.p90_s


def state(sim: Sim) -> RolloutState:
    return sim.book.rollout.state


def play_on(sim: Sim, limit_s: float = 10 * DAY_S) -> None:
    """To its end; while nothing is under way, time passes in larger steps."""
    end = sim.now + timedelta(seconds=limit_s)
    while sim.now < end and state(sim) is RolloutState.RUNNING:
        busy = bool(sim.book.under_way)
        sim.run(5 if busy else 60, step_s=5 if busy else 60)
