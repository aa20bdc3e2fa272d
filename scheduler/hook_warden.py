"""Ends hooks whose controller was killed, so that none goes on beside its successor's.

A process of its own that is told, before a hook is started, by which mark in its environment it
will be known, and when it has ended. When nobody can tell it any more, it ends what bears a mark
that is left. Run as a program this is the warden, and needs the standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from contextlib import suppress

MARK = "XENROLL_HOOK_RUN"
LOOKS, LOOK_S = 5, 0.2


def new_mark() -> str:
    """`NAME=VALUE` as no other run of a hook has it in its environment."""
    return f"{MARK}={uuid.uuid4()}"


class Warden:
    """The controller's end of it; begun with the first hook. Raises OSError where none can be."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def up(self) -> None:
        """Let there be one, before a hook is started: one that was killed gets a successor."""
        with self._lock:
            if self._process is not None:
                if self._process.poll() is None:
                    return
                _take_leave(self._process)  # it was killed
            argv = [sys.executable, "-I", "-S", __file__]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(argv, 0, stdin=pipe, start_new_session=True)
            weakref.finalize(self, _take_leave, self._process)
            for mark in sorted(self._running):
                self._tell(f"+{mark}")

    def begins(self, mark: str) -> None:
        """A hook is started with this mark."""
        with self._lock:
            self._running.add(mark)
            self._tell(f"+{mark}")

    def ends(self, mark: str) -> None:
        """It has ended."""
        with self._lock:
            self._running.discard(mark)
            self._tell(f"-{mark}")

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is not None and not stdin.closed:
            with suppress(BrokenPipeError):  # it was killed: its successor is told everything
                stdin.write(f"{line}\n".encode())

    def close(self) -> None:
        """No hook is to run any more."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _take_leave(process)


def _take_leave(process: subprocess.Popen[bytes]) -> None:
    """Nobody tells it anything any more; it ends, unless it has ended before."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def watch(lines: Iterable[str]) -> None:
    """Keep account of the marks until the lines end; then end whatever bears one that is left."""
    running: set[str] = set()
    for line in lines:
        (running.add if line[0] == "+" else running.discard)(line[1:].rstrip())
    for _ in range(LOOKS if running else 0):  # again: one may have been about to begin
        for process in filter(str.isdecimal, os.listdir("/proc")):
            if _bears(process, running):
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
        time.sleep(LOOK_S)


def _bears(process: str, marks: set[str]) -> bool:
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return False
    return not marks.isdisjoint(word.decode(errors="replace") for word in words)


if __name__ == "__main__":
    watch(sys.stdin)
