"""The machines of a simulated fleet: what runs in each dom0, and the power that it runs on.

One process loads everything that an agent needs and forks a *machine* for each host, so that
hundreds of processes share one copy of the code. A machine adopts whatever its agent starts; when
the simulated host reboots, it and all below it end as if the power had gone, and it is forked
again when the host is up. Within a machine the agent is started again whenever it ends, as systemd
would do.

    python -m scheduler.demo.machines STATE_DIR
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from planner.fleet import load_fleet
from scheduler.demo.family import adopt_orphans, cut_power, end_with, reap
from scheduler.demo.layout import Places
from scheduler.demo.power import Power

RESTART_S = 0.2
"""How long an agent that ended stays away; systemd's RestartSec."""

LOOK_S = 0.05
"""How often the machines' power is looked after."""

RunAgent = Callable[[Path], int]
"""Runs the agent of one settings file in this process, until SIGTERM."""


class Machines:
    """All machines of a fleet: which process stands for which host."""

    def __init__(self, places: Places, power: Power, run_agent: RunAgent) -> None:
        self.places = places
        self.power = power
        self.run_agent = run_agent
        self.pids: dict[str, int] = {}
        self._stopping = False

    def run(self) -> None:
        """Keep every machine as its host's simulated power wants it, until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        adopt_orphans()
        gc.collect()
        gc.freeze()  # what is loaded now stays shared between all that is forked
        try:
            while not self._stopping:
                self.look_after()
                time.sleep(LOOK_S)
        finally:
            for pid in self.pids.values():
                cut_power(pid)
            for pid in self.pids.values():
                with suppress(ChildProcessError):  # reaped before
                    os.waitpid(pid, 0)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stopping = True

    def look_after(self) -> None:
        """Cut the power of machines that reboot, and start those that are up without a process."""
        reap()
        for host in self.power.went_down():
            pid = self.pids.pop(host, None)
            if pid is not None:
                cut_power(pid)
        self.power.boot_what_is_due()
        for host in self.power.up():
            if host not in self.pids:
                self.pids[host] = self._boot(host)

    def _boot(self, host: str) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            end_with(parent, signal.SIGKILL)
            _as_a_machine(self.places, host, self.run_agent)
        return pid


def _as_a_machine(places: Places, host: str, run_agent: RunAgent) -> NoReturn:
    """Be a machine: adopt what is orphaned, and keep the agent running. Never returns."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    adopt_orphans()
    log = os.open(places.logs / f"{host}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ["PATH"] = f"{places.programs(host)}:{os.environ.get('PATH', os.defpath)}"
    agent = _start_agent(places, host, run_agent)
    while True:
        ended, status = os.wait()
        if ended == agent:
            line = f"machine: the agent ended ({os.waitstatus_to_exitcode(status)})\n"
            os.write(2, line.encode())
            time.sleep(RESTART_S)
            agent = _start_agent(places, host, run_agent)


def _start_agent(places: Places, host: str, run_agent: RunAgent) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    end_with(parent, signal.SIGKILL)
    code = 1
    try:
        code = run_agent(places.agent_settings(host))
    finally:
        # Nothing of the process we were forked from may run on here: no exit handler, no caller.
        os._exit(code)


def main(argv: list[str]) -> int:
    """Run the machines of one state directory until SIGTERM."""
    from agents.__main__ import run_agent

    places = Places(Path(argv[0]).resolve())
    fleet = load_fleet(places.fleet.read_bytes())
    Machines(places, Power(places.world, fleet.policy.reboot_s), run_agent).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
