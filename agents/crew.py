"""The worker processes of one agent: forked from it, replaced when they die, gone when it is."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("agent")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
"""A worker that lived for so long did not die of a fault that comes back at once."""

_PR_SET_PDEATHSIG = 1


@dataclass
class Berth:
    """The place of one worker."""

    pid: int | None = None
    started_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    not_before_s: float = float("-inf")


class Crew:
    """Keeps `size` workers alive. `task` is what a worker does, in a process of its own."""

    def __init__(self, size: int, task: Callable[[], None]) -> None:
        self.berths = [Berth() for _ in range(size)]
        self.task = task

    def tend(self, clock_s: float) -> None:
        """Note who died, and start who is missing. To be called often."""
        for berth in self.berths:
            if berth.pid is not None and _ended(berth.pid):
                self._bury(berth, clock_s)
            if berth.pid is None and clock_s >= berth.not_before_s:
                berth.pid, berth.started_s = _fork(self.task), clock_s

    def _bury(self, berth: Berth, clock_s: float) -> None:
        healthy = clock_s - berth.started_s > HEALTHY_S
        berth.pause_s = FIRST_PAUSE_S if healthy else min(berth.pause_s * 2, LONGEST_PAUSE_S)
        berth.not_before_s = clock_s + berth.pause_s
        log.warning("worker %d ended; the next starts in %g s", berth.pid, berth.pause_s)
        berth.pid = None


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _fork(task: Callable[[], None]) -> int:
    """Start a process that is asked to end (SIGTERM, once) when this one does."""
    parent = os.getpid()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() == parent:
            task()
        code = 0
    except Exception as error:
        log.error("worker failed: %s: %s", type(error).__name__, error)
    finally:
        os._exit(code)
