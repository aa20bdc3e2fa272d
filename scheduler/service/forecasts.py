"""Forecasts for many who ask: made one at a time beside the answers, shared, and never waited for
where there is one already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from scheduler.forecast import Forecast
from scheduler.forecast_pause import PauseCost
from scheduler.store import NoRollout

KEPT_ROLLOUTS = 32
COST_FACTOR = 5.0
"""A forecast is made again no sooner than after so many times what the last one took."""
OLD_S = 300.0
"""None that is older is shown: whoever asks waits for the next one."""


class ForecasterLost(Exception):
    """The process that makes forecasts ended, or said what cannot be read."""


class Foretells(Protocol):
    """Makes them: in this process, or in one of its own."""

    def forecast(self, rollout_id: str) -> Forecast:
        """When a rollout will have ended. Raises NoRollout, redis errors."""

    def pause_cost(self, rollout_id: str, for_s: float) -> PauseCost:
        """What a pause from now on costs. Raises NoRollout, redis errors."""

    def stop(self) -> None:
        """End what is being made."""


@dataclass
class _Kept:
    """The newest forecast of a rollout that is there, and the next one while it is made."""

    made: Forecast | None = None
    made_s: float = float("-inf")
    tried_s: float = float("-inf")
    took_s: float = 0.0
    coming: Future[Forecast] | None = None


class Forecasts:
    """Hands them out; safe to call from any thread. `often_s` 0: each asks for one of their own."""

    def __init__(
        self,
        foretells: Foretells,
        monotonic: Callable[[], float],
        often_s: float,
        log: Callable[[str], None],
    ) -> None:
        self._foretells = foretells
        self._monotonic = monotonic
        self._often_s = often_s
        self._log = log
        self._ended = False
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="forecasts")

    async def forecast(self, rollout_id: str) -> Forecast:
        """The newest one; waits only where there is none yet. Raises what making it raises."""
        known = self._ask(rollout_id)
        if isinstance(known, Forecast):
            return known
        # Shielded: who goes away does not cancel it for the others.
        return await asyncio.shield(asyncio.wrap_future(known))

    async def pause_cost(self, rollout_id: str, for_s: float) -> PauseCost:
        """What a pause from now on costs. Raises what finding it out raises."""
        ask = self._foretells.pause_cost
        return await asyncio.wrap_future(self._worker.submit(ask, rollout_id, for_s))

    def stop(self) -> None:
        """Make no more of them."""
        self._ended = True
        self._foretells.stop()
        self._worker.shutdown(cancel_futures=True)

    def _ask(self, rollout_id: str) -> Forecast | Future[Forecast]:
        with self._lock:
            kept = self._kept.pop(rollout_id, None) or _Kept()
            self._kept[rollout_id] = kept
            while len(self._kept) > KEPT_ROLLOUTS:
                del self._kept[next(iter(self._kept))]
            now_s = self._monotonic()
            due_s = kept.tried_s + max(self._often_s, COST_FACTOR * kept.took_s)
            if kept.coming is None and (kept.made is None or now_s >= due_s):
                kept.tried_s = now_s
                kept.coming = self._worker.submit(self._make, rollout_id, kept)
            young = self._often_s > 0 and now_s - kept.made_s < OLD_S
            if kept.coming is None or (young and kept.made is not None):
                assert kept.made is not None
                return kept.made
            return kept.coming

    def _make(self, rollout_id: str, kept: _Kept) -> Forecast:
        made, began_s = None, self._monotonic()
        try:
            made = self._foretells.forecast(rollout_id)
        except (NoRollout, RedisError):
            raise  # told to whoever asked, and nothing new
        except Exception as error:
            if not self._ended:
                self._log(f"no forecast of {rollout_id}: {type(error).__name__}: {error}")
            raise
        finally:
            with self._lock:
                kept.coming = None
                if made is None and kept.made is None:
                    self._kept.pop(rollout_id, None)
                kept.took_s = self._monotonic() - began_s
                if made is not None:
                    kept.made, kept.made_s = made, began_s
        return made
