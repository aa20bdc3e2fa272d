"""The world on disk: one folder per fleet, one state file per host.

A state file is only ever replaced as a whole (written aside, then renamed) while the host's lock
file is locked, so that a process killed at any moment leaves the old state or the new one.
Readers take no lock.  Nothing ticks: whatever is due by the simulated clock happens when somebody
looks (`lifecycle.settle`).
"""

from __future__ import annotations

import os
import time

from scheduler.standin.microjson import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    State = dict[str, Any]
    Domain = dict[str, Any]


class HostGone(Exception):
    """The host of this process lost its power or was rebooted: the process no longer exists."""


class World:
    """A simulated fleet: its folder, its clock and its speeds (all times in simulated seconds)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.settings: dict[str, Any] = loads(read_text(f"{path}/world.json"))
        self.speed: float = self.settings["speed"]

    def now(self) -> float:
        """Simulated Unix time."""
        settings = self.settings
        if settings["frozen_at"] is not None:
            return float(settings["frozen_at"])
        return float(
            settings["epoch_sim_s"] + (time.time() - settings["epoch_real_s"]) * self.speed
        )

    def sleep(self, simulated_s: float) -> None:
        time.sleep(max(0.0, simulated_s) / self.speed)

    def host_dir(self, host: str) -> str:
        return f"{self.path}/hosts/{host}"

    def hosts(self) -> list[str]:
        return sorted(os.listdir(f"{self.path}/hosts"))

    def find_host(self, name: str) -> str | None:
        """The host that answers to `name` (as ssh resolves it: case does not count)."""
        wanted = name.lower()
        for host in self.hosts():
            if host.lower() == wanted:
                return host
        aliases: dict[str, str] = self.settings["addresses"]
        return aliases.get(wanted)


def read_text(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks).decode()
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def replace_file(path: str, text: str, mode: int = 0o644) -> None:
    """Write `path` as a whole: whoever reads it sees the old text or the new one."""
    aside = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(aside, flags, mode)
    try:
        write_all(descriptor, text.encode())
    finally:
        os.close(descriptor)
    os.rename(aside, path)


def read_state(world: World, host: str) -> State:
    """The host's state as last committed; what fell due since then is not in it yet."""
    state: State = loads(read_text(f"{world.host_dir(host)}/state.json"))
    return state


def runnable(state: State) -> dict[int, str]:
    """domid -> uuid of every guest whose vCPUs may run: not paused, not shut down, not dying."""
    return {
        d["domid"]: d["uuid"]
        for d in state["domains"]
        if d["domid"] and not d["paused"] and d["shutdown"] is None and not d["dying"]
    }


class Change:
    """`with Change(world, host) as change:` alters `change.state` alone on that host.

    Left by an exception, nothing is changed.  `note` adds a line to the ledger; who may run from
    when to when is noted by itself.  Lines are kept in the state until they are known to be in the
    ledger, so that a kill between the two loses none (a line may come twice: same host and seq).
    """

    def __init__(self, world: World, host: str, generation: int | None = None) -> None:
        self.world = world
        self.host = host
        self.generation = generation
        self._notes: list[dict[str, Any]] = []

    def __enter__(self) -> Change:
        import fcntl

        folder = self.world.host_dir(self.host)
        self._lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self.state = read_state(self.world, self.host)
            self.now = self.world.now()
            if self.generation not in (None, self.state["generation"]):
                raise HostGone(self.host)
            self._flush_outbox()
            self._before = runnable(self.state)
            from scheduler.standin.lifecycle import settle

            settle(self.state, self.now, self.note)
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            os.close(self._lock)

    def note(self, event: str, **facts: object) -> None:
        """Add a line to the ledger: `event` and what belongs to it."""
        self._notes.append({"event": event, **facts})

    def _note_runs(self) -> None:
        after = runnable(self.state)
        for domid, uuid in self._before.items():
            if domid not in after:
                self.note("stops", domid=domid, uuid=uuid)
        for domid, uuid in after.items():
            if domid not in self._before:
                self.note("runs", domid=domid, uuid=uuid)

    def _commit(self) -> None:
        self._note_runs()
        lines = []
        for note in self._notes:
            self.state["seq"] += 1
            stamp = {"seq": self.state["seq"], "host": self.host, "t": time.time(), "at": self.now}
            lines.append(stamp | note)
        if lines:
            self.state["outbox"] = lines
        from scheduler.standin.monitors import show

        show(f"{self.world.host_dir(self.host)}/root", self.state, self.now)
        replace_file(f"{self.world.host_dir(self.host)}/state.json", dumps(self.state))
        if lines:
            self._flush_outbox()

    def _flush_outbox(self) -> None:
        flushed = int(os.pread(self._lock, 20, 0) or b"0")
        lines = [line for line in self.state["outbox"] if line["seq"] > flushed]
        if not lines:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        ledger = os.open(f"{self.world.path}/ledger.jsonl", flags, 0o644)
        try:
            write_all(ledger, "".join(dumps(line) + "\n" for line in lines).encode())
        finally:
            os.close(ledger)
        os.pwrite(self._lock, b"%020d" % lines[-1]["seq"], 0)


def look(world: World, host: str) -> State:
    """The host's state now, with everything that is due done (and committed)."""
    state = read_state(world, host)
    if any(event["at"] <= world.now() for event in state["events"]):
        with Change(world, host) as change:
            state = change.state
    return state
