"""Keeps Python from stopping the service: the collector of cycles, and threads that wait in turn.

A fleet of 12,000 guests is some 300,000 objects. Looking through all of them for cycles of
references stops every thread for a fifth of a second, and the views that are made anew each second
have it done every few seconds, for nothing: they hold no cycles. So what has lived for a moment is
taken out of the collector's sight (`gc.freeze`), and looked through every ten minutes only.
"""

from __future__ import annotations

import gc
import sys
import threading

EVERY_S = 1.0
WHOLE_EVERY = 600
"""Each so many-th time everything is looked through; cycles are few, and small."""
TURN_S = 0.0005
"""A thread that computes gives way to one with a request after this, not after Python's 5 ms."""


class Tidy:
    """A thread that does this between `start` and `stop`."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidy", daemon=True)

    def start(self) -> None:
        """Begin."""
        sys.setswitchinterval(TURN_S)
        self._thread.start()

    def stop(self) -> None:
        """End, and leave everything to the collector as usual."""
        self._ending.set()
        self._thread.join()
        gc.unfreeze()

    def _run(self) -> None:
        turn = 0
        while not self._ending.wait(EVERY_S):
            turn += 1
            tidy(whole=turn % WHOLE_EVERY == 0)


def tidy(whole: bool) -> None:
    """Free young cycles, or with `whole` all of them; then keep the rest out of sight."""
    if whole:
        gc.unfreeze()
    gc.collect(2 if whole else 1)
    gc.freeze()
