"""What runs beside the machines: the server, the controller, the machines' own process.

Each is started again when it ends, as systemd would do, so that a run survives whatever a visitor
kills in another terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from scheduler.embedded import EmbeddedServer, die_with_parent, end

RESTART_S = 0.5
"""How long a service that ended stays away."""

STOP_TIMEOUT_S = 20.0


class Service:
    """A program of ours that has to run; its output goes to a log."""

    def __init__(
        self, name: str, argv: list[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._argv = [sys.executable, *argv]
        self._log = log
        self.environment = {**os.environ, **environment}
        self._ended_at: float | None = None

    def start(self) -> None:
        """Start it; it gets SIGTERM if this process ends."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        self.starts += 1
        self._ended_at = None

    def keep_up(self) -> None:
        """Start it again if it has ended a moment ago."""
        if self.process is None or self.process.poll() is None:
            return
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        elif time.monotonic() - self._ended_at >= RESTART_S:
            self.start()

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self.process is not None:
            end(self.process, STOP_TIMEOUT_S)
            self.process = None

    def last_words(self) -> str:
        """The end of its log, for a message about why it does not stay up."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-5:])


class ServerService:
    """The embedded server, started again with its data when it ends."""

    def __init__(self, state_dir: Path) -> None:
        self.server = EmbeddedServer(state_dir)
        self.starts = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    def start(self) -> None:
        """Start it. Raises ServerError."""
        self.server.start()
        self.starts += 1

    def keep_up(self) -> None:
        """Start it again if it has ended. Raises ServerError where that does not work."""
        if self.server.process is not None and self.server.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """End it cleanly, everything written out."""
        self.server.stop()
