"""Everything that a simulated fleet needs to live: server, machines with their agents, controller.

`Stage` starts it, keeps it up as systemd would, and ends all of it. It decides nothing about the
fleet: that is the business of the programs it starts, and of whoever uses the command line.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from agents.keys import keys
from agents.wire import Report
from planner.fleet import Fleet
from scheduler.demo.family import descendants
from scheduler.demo.layout import Pace, Places, write_agent_settings
from scheduler.demo.services import ServerService, Service
from scheduler.demo.web import Web
from scheduler.embedded import answering
from scheduler.store import Store

POLL_S = 0.1
COMMAND_TIMEOUT_S = 120.0
MANY_STARTS = 5
"""A service that had to be started so often before the fleet was even up is broken."""


class StageError(Exception):
    """The simulated fleet does not come up; the text says what, and what its log says."""


@dataclass(frozen=True)
class Plot:
    """What is to be put on stage."""

    places: Places
    fleet: Fleet
    pace: Pace
    redis_url: str | None = None  # a server that runs already, instead of our own
    controller: Mapping[str, str] = field(default_factory=dict)  # its environment


class Stage:
    """The processes of a simulated fleet. Use it as a context."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.server = None if plot.redis_url else ServerService(plot.places.server)
        self.url = plot.redis_url or (self.server.url if self.server else "")
        logs = plot.places.logs
        self.machines = Service(
            "machines",
            ["-m", "scheduler.demo.machines", str(plot.places.state_dir)],
            logs / "machines.log",
            {},
        )
        self.controller = Service(
            "controller",
            ["-m", "scheduler", "controller"],
            logs / "controller.log",
            self.environment,
        )
        self.web = Web(logs / "web.log", self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """What a command on this fleet finds in its environment."""
        return {"XENROLL_REDIS_URL": self.url, **self.plot.controller}

    def __enter__(self) -> Stage:
        if self.server:
            self.server.start()
        else:
            answering(self.url)
        write_agent_settings(self.plot.places, self.plot.fleet, self.url, self.plot.pace)
        self.client = redis.Redis.from_url(self.url)
        self.store = Store(self.client, "stage")
        return self

    def __exit__(self, *error: object) -> None:
        self.controller.stop()
        self.web.stop()
        self.machines.stop()
        self.client.close()
        if self.server:
            self.server.stop()

    def keep_up(self) -> None:
        """Start again what has ended. Raises ServerError, StageError."""
        if self.server:
            self.server.keep_up()
        for service in (self.machines, self.controller):
            service.keep_up()
        self.web.keep_up()

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start `xenroll WORDS` as a person would."""
        return subprocess.Popen(
            [sys.executable, "-m", "scheduler", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.machines.environment, **self.environment},
        )

    def xenroll(self, *words: str) -> tuple[int, str]:
        """What `xenroll WORDS` ends with and says, everything being kept up meanwhile."""
        process = self.command(*words)
        end_s = time.monotonic() + COMMAND_TIMEOUT_S
        while process.poll() is None and time.monotonic() < end_s:
            self.keep_up()
            time.sleep(POLL_S)
        if process.poll() is None:
            process.kill()
        said, _ = process.communicate()
        return process.returncode, said.strip()

    def wait_for_agents(self, said: Callable[[int, int], None]) -> None:
        """Return when every host has reported since now; `said` hears how many have.

        Raises StageError when the agents do not stay up.
        """
        since = datetime.now(UTC)
        hosts = [host.name for host in self.plot.fleet.hosts]
        while (here := sum(self._reported(host, since) for host in hosts)) < len(hosts):
            said(here, len(hosts))
            self.keep_up()
            if self.machines.starts > MANY_STARTS:
                raise StageError(f"the agents do not stay up:\n{self.machines.last_words()}")
            time.sleep(POLL_S)
        said(len(hosts), len(hosts))

    def _reported(self, host: str, since: datetime) -> bool:
        raw = self.client.get(keys.report(host))
        if not isinstance(raw, bytes):
            return False
        report = Report.model_validate_json(raw)
        return report.taken_at >= since and not report.trouble

    def moves_under_way(self) -> int:
        """`xl migrate` processes that live on the machines."""
        if self.machines.process is None:
            return 0
        below = descendants(self.machines.process.pid)
        return sum("migrate" in process.command() for process in below)
