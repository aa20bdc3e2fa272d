"""Processes of this machine and who descends from whom, read from /proc.

A simulated machine is a process that adopts every orphan below it, so that cutting its power means
ending one process and all its descendants, whatever sessions they made for themselves.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Process:
    """One row of /proc."""

    pid: int
    parent: int
    name: str
    zombie: bool

    def command(self) -> list[str]:
        """Its argv; empty if it is gone, or has none."""
        try:
            raw = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return []
        return [word.decode(errors="replace") for word in raw.split(b"\0")[:-1]]


def adopt_orphans() -> None:
    """From now on a descendant whose parent ends becomes our child, not init's."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_with(parent_pid: int, how: signal.Signals) -> None:
    """Ask the kernel to send us `how` when our parent ends; called right after a fork."""
    _libc.prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def processes() -> Iterator[Process]:
    """Every process that can be seen; one that ends meanwhile is left out."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            raw = Path("/proc", pid, "stat").read_text(errors="replace")
        except OSError:
            continue
        # The name stands in brackets and may itself hold blanks and brackets.
        name, _, rest = raw.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        yield Process(int(pid), int(parent), name, state in "ZX")


def descendants(pid: int) -> list[Process]:
    """Every process below `pid` that lives, parents before their children."""
    children: dict[int, list[Process]] = defaultdict(list)
    for process in processes():
        children[process.parent].append(process)
    found: list[Process] = []
    queue = [pid]
    while queue:
        below = children[queue.pop(0)]
        found += [process for process in below if not process.zombie]
        queue += [process.pid for process in below]
    return found


def send(pid: int, how: signal.Signals) -> bool:
    """Whether the process was there to get the signal."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return False
    return True


def reap() -> list[int]:
    """Pids of our children that have ended, taken off the process table."""
    ended: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append(pid)


def cut_power(pid: int) -> None:
    """End `pid` and everything below it, at once and for good; `pid` is to be reaped by its parent.

    The adopting process is stopped first, so that it starts nothing while the others go.
    """
    send(pid, signal.SIGSTOP)
    while below := descendants(pid):
        for process in below:
            send(process.pid, signal.SIGKILL)
        time.sleep(0.005)  # a killed process needs a moment; one it had just forked shows up now
    send(pid, signal.SIGKILL)
