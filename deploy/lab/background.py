"""Threads that work beside a `with` block, and end with it."""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self


class Background:
    """`with ... as it:`; every thread looks at `over` and ends once that is set."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []

    def work(self) -> Iterable[Callable[[], None]]:
        """What runs, each in a thread of its own."""
        return ()

    def wake(self) -> None:
        """Called once `over` is set, for threads that wait for something else."""

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=one, daemon=True) for one in self.work()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.wake()
        for thread in self._threads:
            thread.join()
