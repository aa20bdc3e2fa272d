"""Which guests xl watches, and which it does not any more.

xl leaves a process behind for each guest that it made or received, unless told not to (`-e`): its
*monitor*, which makes the guest anew when it reboots, and clears it away when it has ended. Nothing
but its log tells whom it watches: the newest line of this form (`xl_vmcontrol.c`)

    Waiting for domain db--incoming (domid 7) to die [pid 1050]

names domain and process. It is gone when it was killed; and by itself once its guest was suspended
for a move that then failed: xl resumes the guest, and starts no monitor again.

A guest without such a log (`-e`, `-F`, another toolstack, renamed since) is not known to have had
one. Of logs that were written before this boot nothing is believed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents.copies import INCOMING, Condition, condition
from agents.settings import Settings
from agents.wire import GuestSeen

LOG_TAIL_BYTES = 16_384
WAITING = re.compile(rb"^Waiting for domain .* \(domid (\d+)\) to die \[pid (\d+)\]", re.M)
BOOTED = re.compile(r"^btime (\d+)$", re.M)
ALIVE = frozenset({Condition.RUNS, Condition.PAUSED, Condition.SUSPENDED})
"""A monitor ends by itself behind a guest that has ended and is kept."""


@dataclass(frozen=True)
class Log:
    """What a monitor wrote last."""

    version: tuple[int, int, int]  # of the file: while this is the same, so is the rest
    domid: int
    pid: int


class Monitors:
    """Says of each guest whether xl watches it; remembers logs that have not changed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._logs: dict[Path, Log | None] = {}

    def mark(self, guests: Iterable[GuestSeen]) -> tuple[GuestSeen, ...]:
        """The guests, each with `monitored`: None where that cannot be told."""
        booted_s = self._booted_s()
        return tuple(
            guest.model_copy(update={"monitored": self._monitored(guest, booted_s)})
            for guest in guests
        )

    def _booted_s(self) -> float | None:
        try:
            found = BOOTED.search(self.settings.path("/proc/stat").read_text())
        except (OSError, UnicodeDecodeError):
            return None
        return float(found[1]) if found else None

    def _monitored(self, guest: GuestSeen, booted_s: float | None) -> bool | None:
        if booted_s is None or "/" in guest.name or condition(guest.state) not in ALIVE:
            return None
        base = self.settings.path(self.settings.xl_log_dir)
        for name in (f"xl-{guest.name}{INCOMING}.log", f"xl-{guest.name}.log"):
            log = self._log(base / name, booted_s)
            if log is not None and log.domid == guest.domid:
                return self._lives(log.pid, base / name)
        return None

    def _log(self, path: Path, booted_s: float) -> Log | None:
        """What the log at this path says; None where there is none of this boot."""
        try:
            found = path.stat()
            if found.st_mtime < booted_s:
                return None
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            known = self._logs.get(path)
            if known is None or known.version != version:
                self._logs[path] = known = _read(path, version)
        except OSError:
            return None
        return known

    def _lives(self, pid: int, log: Path) -> bool | None:
        """Whether this process lives and writes this log; None where nobody may see that."""
        for base in dict.fromkeys((Path(self.settings.proc_dir), self.settings.path("/proc"))):
            writes = base / str(pid) / "fd/2"
            try:
                if os.path.samefile(writes, log):
                    return True
            except FileNotFoundError:  # no such process, or what it writes is gone
                continue
            except OSError:
                return None
        return False


def _read(path: Path, version: tuple[int, int, int]) -> Log | None:
    with path.open("rb") as log:
        log.seek(max(0, version[1] - LOG_TAIL_BYTES))
        lines = WAITING.findall(log.read(LOG_TAIL_BYTES))
    return Log(version, int(lines[-1][0]), int(lines[-1][1])) if lines else None
