"""A value that is made anew at most every so often, in the background where that is possible."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

TOO_OLD_S = 5.0
"""Whoever finds a value older than this makes a newer one, and waits for it."""
BUSY_OLD_S = 30.0
"""Those who come meanwhile are given none older than this: on a machine that is too busy to make
one in time, they would all wait, and nobody could even pause."""


class Fresh(Generic[T]):
    """Fifty dashboards that ask at once cost one reading, and none of them waits for it.

    With `max_age_s` 0 every caller waits for a value of their own.
    """

    def __init__(
        self, make: Callable[[T | None], T], monotonic: Callable[[], float], max_age_s: float
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._value: T | None = None
        self._made_s = float("-inf")

    @property
    def last(self) -> T | None:
        """The newest value, however old; None before the first."""
        return self._value

    @property
    def busy(self) -> bool:
        """Whether somebody makes a new value right now."""
        return self._lock.locked()

    def get(self) -> T:
        """The value. Raises what making it raises, if there is none that is young enough."""
        value, age_s = self._value, self._monotonic() - self._made_s
        if value is None or self._max_age_s == 0 or age_s >= TOO_OLD_S:
            return self._wait(value, age_s)
        if age_s >= self._max_age_s and self._lock.acquire(blocking=False):
            threading.Thread(target=self._in_background, name="fresh", daemon=True).start()
        return value

    def _wait(self, value: T | None, age_s: float) -> T:
        others_wait = value is None or self._max_age_s == 0 or age_s >= BUSY_OLD_S
        if not self._lock.acquire(blocking=others_wait):
            assert value is not None
            return value
        try:
            return self._remake()
        finally:
            self._lock.release()

    def _in_background(self) -> None:
        """Make it with the lock that the caller took."""
        try:
            with suppress(Exception):  # who asks when the value is too old gets what it raises
                self._remake()
        finally:
            self._lock.release()

    def _remake(self) -> T:
        """A new value, unless somebody else has just made one. The lock must be held."""
        if self._value is not None and self._monotonic() - self._made_s < self._max_age_s:
            return self._value
        began_s = self._monotonic()
        self._value = self._make(self._value)
        self._made_s = began_s
        return self._value
