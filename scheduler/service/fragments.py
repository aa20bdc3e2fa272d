"""Pieces of pages that many dashboards ask for at once, made once for each view of the fleet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

KEPT = 64


class Fragments:
    """The newest pieces by key; each belongs to the view that it was made from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, tuple[object, bytes]] = {}

    def get(self, key: Hashable, view: object, make: Callable[[], bytes]) -> bytes:
        """The piece for this view. Holding the view keeps its identity from being used again."""
        with self._lock:
            known = self._made.get(key)
        if known is not None and known[0] is view:
            return known[1]
        text = make()
        with self._lock:
            self._made.pop(key, None)
            self._made[key] = (view, text)
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        return text
