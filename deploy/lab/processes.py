"""Processes that outlive the command that started them, and are ended only if they are ours."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.lab.errors import LabError

# proc(5), /proc/PID/stat: the 22nd field, counted after the name in parentheses (the 2nd).
START_FIELD = 22 - 3
END_TIMEOUT_S = 10.0

# Children of this very command (a test's, say), so that they are reaped when they end.
_children: list[subprocess.Popen[bytes]] = []


def start(argv: Sequence[str], pid_file: Path, log: Path, *, cwd: Path | None = None) -> None:
    """Starts argv in a session of its own and records it in `pid_file`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(process)
    record = {"pid": process.pid, "started": start_time(process.pid)}
    pid_file.write_text(json.dumps(record))


def start_time(pid: int) -> int | None:
    """When the kernel says the process started, in clock ticks; None where none runs.

    One whose first thread has ended still runs, and holds its ports, until the last one has.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended while it was read
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" and threads <= 1 else int(fields[START_FIELD - 1])


def running(pid_file: Path) -> int | None:
    """The pid of the recorded process, if that very process still runs.

    A pid alone proves nothing: after its end another process may have got it.
    """
    try:
        record = json.loads(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None  # nothing was started, or the machine went down while it was written
    pid, started = int(record["pid"]), record["started"]
    return pid if started is not None and start_time(pid) == started else None


def end(pid_file: Path, *, at_once: bool = False) -> bool:
    """Ends the recorded process and waits for it; False where it was not running any more."""
    pid = running(pid_file)
    if pid is not None:
        _signal(pid, signal.SIGKILL if at_once else signal.SIGTERM)
        if not _gone(pid_file, END_TIMEOUT_S):
            _signal(pid, signal.SIGKILL)
        if not _gone(pid_file, END_TIMEOUT_S):
            raise LabError(f"process {pid} of {pid_file} does not end")
    pid_file.unlink(missing_ok=True)
    _children[:] = [child for child in _children if child.poll() is None]
    return pid is not None


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # ended by itself just now, which is what was wanted


def _gone(pid_file: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while running(pid_file) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
