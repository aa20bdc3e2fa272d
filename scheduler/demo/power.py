"""The power of the simulated machines: who went down, who is due to come back, who is up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scheduler.standin.boot import finish_reboot
from scheduler.standin.store import World


class Power:
    """Follows each host's state file; a file that did not change is not read again."""

    def __init__(self, world_dir: Path, reboot_s: float) -> None:
        """`reboot_s`: simulated seconds from a reboot to the next boot."""
        self.world = World(str(world_dir))
        self.reboot_s = reboot_s
        hosts = self.world.hosts()
        self._files = {name: world_dir / "hosts" / name / "state.json" for name in hosts}
        self._seen: dict[str, tuple[int, int]] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._boots: dict[str, int] = {}

    def went_down(self) -> list[str]:
        """Hosts whose boot that was last seen has ended; each is named once."""
        down = []
        for host in self._files:
            state = self._look(host)
            boot = self._boots.get(host)
            if boot is not None and (state["power"] != "on" or state["generation"] != boot):
                down.append(host)
                del self._boots[host]
        return down

    def boot_what_is_due(self) -> None:
        """Let every host come back whose reboot has lasted long enough."""
        for host in self._files:
            state = self._look(host)
            down = state["power"] == "rebooting"
            if down and self.world.now() - state["rebooting_since"] >= self.reboot_s:
                finish_reboot(self.world, host)
                self._look(host)

    def up(self) -> list[str]:
        """Hosts that are up."""
        up = [host for host in self._files if self._states[host]["power"] == "on"]
        self._boots.update({host: self._states[host]["generation"] for host in up})
        return up

    def _look(self, host: str) -> dict[str, Any]:
        path = self._files[host]
        facts = path.stat()
        # Two changes may have the same time; each one is a new file, though.
        seen = facts.st_mtime_ns, facts.st_ino
        if seen != self._seen.get(host):
            self._states[host] = json.loads(path.read_bytes())
            self._seen[host] = seen
        return self._states[host]
