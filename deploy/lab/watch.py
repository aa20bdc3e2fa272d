"""An observer outside: looks at every dom0 once a second and remembers what it saw.

It shares nothing with the product under test: one ssh connection per host, a program in dom0 that
reads the hypervisor and xenstore itself.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deploy.lab.background import Background
from deploy.lab.remote import Remote
from deploy.lab.sightings import Domain, Sighting, beat_of

PROGRAM = "exec python3 -u /usr/lib/lab/watch.py"
RECONNECT_S = 2.0


def sighting_of(host: str, asked_s: float, answered_s: float, line: str) -> Sighting:
    """One answer of the program in dom0."""
    found: dict[str, Any] = json.loads(line)
    domains = tuple(
        Domain(
            int(item["domid"]),
            item["uuid"],
            item["name"],
            item["paused"],
            item["shutdown"],
            item["dying"],
            int(item["cpu_ns"]),
            beat_of(item["beat"]),
        )
        for item in found["domains"]
    )
    return Sighting(host, found["boot"], asked_s, answered_s, domains)


class Watch(Background):
    """`with Watch(remotes) as watch:`; watch.sightings() grows until the block ends."""

    def __init__(
        self, remotes: Sequence[Remote], *, interval_s: float = 1.0, record: Path | None = None
    ) -> None:
        super().__init__()
        self._remotes = remotes
        self._interval_s = interval_s
        self._record = record
        self._sightings: list[Sighting] = []
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def work(self) -> Iterable[Callable[[], None]]:
        return [partial(self._follow, remote) for remote in self._remotes]

    def wake(self) -> None:
        for process in list(self._processes.values()):
            process.terminate()

    def sightings(self) -> list[Sighting]:
        """What was seen so far, in order of arrival."""
        with self._lock:
            return list(self._sightings)

    def latest(self, host: str) -> Sighting | None:
        """The last look at this host."""
        mine = [sighting for sighting in self.sightings() if sighting.host == host]
        return mine[-1] if mine else None

    def _follow(self, remote: Remote) -> None:
        """Looks until the end; a host that is away is tried again and again."""
        while not self.over.is_set():
            argv = remote.argv(PROGRAM, shared=False)
            with subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as process:
                self._processes[remote.host.name] = process
                self._ask(remote.host.name, process)
                process.terminate()
            self.over.wait(RECONNECT_S)

    def _ask(self, host: str, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        while not self.over.is_set():
            asked_s = time.monotonic()
            try:
                # Past Python's buffer, which would be flushed again, in vain, at the end.
                os.write(process.stdin.fileno(), b"\n")
                line = process.stdout.readline()
            except OSError:
                return  # the host went away; _follow connects again
            if not line:
                return
            self._remember(sighting_of(host, asked_s, time.monotonic(), line), line)
            self.over.wait(self._interval_s)

    def _remember(self, sighting: Sighting, line: str) -> None:
        with self._lock:
            self._sightings.append(sighting)
            if self._record is not None:
                with self._record.open("a") as file:
                    file.write(f"{sighting.answered_s:.3f} {sighting.host} {line}")
