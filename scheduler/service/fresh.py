"""A value that is made anew at most every so often, by one caller at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

TOO_OLD_S = 5.0
"""Nobody is given a value older than this: they wait for the one that is being made."""


class Fresh(Generic[T]):
    """Fifty dashboards that ask at once cost one reading; the others get the last value."""

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

    def get(self) -> T:
        """The value. Raises what making it raises."""
        age_s = self._monotonic() - self._made_s
        if self._value is not None and age_s < self._max_age_s:
            return self._value
        wait = self._value is None or age_s >= max(TOO_OLD_S, self._max_age_s)
        if not self._lock.acquire(blocking=wait or self._max_age_s == 0):
            assert self._value is not None
            return self._value
        try:
            if self._monotonic() - self._made_s >= self._max_age_s:
                began_s = self._monotonic()
                self._value = self._make(self._value)
                self._made_s = began_s
            assert self._value is not None
            return self._value
        finally:
            self._lock.release()
