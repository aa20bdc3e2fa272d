"""One provoked failure under way: both hosts, one guest, and everything that was seen."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.lab import moves
from deploy.lab.errors import LabError
from deploy.lab.guests import Guest
from deploy.lab.lab import Lab
from deploy.lab.remote import Remote

SOURCE, DESTINATION = "lab-1", "lab-2"
SENDER = r"bin/xl migrate -s"
RECEIVER = r"bin/xl migrate-receive"
HELPER = r"libxl-save-helper"
FINISH_TIMEOUT_S = 600.0
LOOK = (
    "xl list; for d in $(xenstore-list /local/domain); do [ $d = 0 ] || "
    'echo "domain $d beat: $(xenstore-read /local/domain/$d/data/beat 2>/dev/null)"; done'
)


@dataclass
class Scene:
    """One case under way: who moves where, and what was seen."""

    lab: Lab
    case: str
    guest: Guest
    seen: list[str] = field(default_factory=list)
    mover: subprocess.Popen[str] | None = None

    @property
    def source(self) -> Remote:
        return self.lab.remote(SOURCE)

    @property
    def destination(self) -> Remote:
        return self.lab.remote(DESTINATION)

    def note(self, text: str) -> None:
        print(f"{self.case}: {text}", flush=True)
        self.seen.append(f"## {text}\n")

    def look(self, when: str, hosts: Sequence[str] = (SOURCE, DESTINATION)) -> None:
        """`xl list` and ticks of these hosts, now."""
        self.note(when)
        for host in hosts:
            self.seen.append(f"# {host}\n{self.lab.remote(host).check(LOOK)}")

    def begin(self) -> None:
        self.mover = moves.begin(self.source, self.guest.name, DESTINATION)

    def arm(self, host: str, when: str, *actions: str) -> subprocess.Popen[str]:
        """Lies in wait in that host's dom0 for the moment, to send signals on the spot."""
        words = " ".join(f"'{action}'" for action in actions)
        command = f"python3 -u /usr/lib/lab/disturb.py {when} {self.guest.name} {words}"
        armed = subprocess.Popen(
            self.lab.remote(host).argv(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert armed.stdout is not None
        if armed.stdout.readline() != "waiting\n":
            raise LabError(f"{self.case}: nothing lies in wait on {host} for {when}")
        return armed

    def strike(self, armed: subprocess.Popen[str], host: str, when: str) -> None:
        """Returns once the moment has come and the signals were sent."""
        while armed.poll() is None:
            self._still_moving(armed)
            time.sleep(0.05)
        out, _ = armed.communicate()
        if armed.returncode != 0:
            raise LabError(f"{self.case}: {host} never saw the moment: {when}")
        for line in out.splitlines():
            self.note(f"{host}, once {when}: {line}")

    def _still_moving(self, armed: subprocess.Popen[str]) -> None:
        """A moment that cannot come any more is not waited for."""
        if self.mover is not None and self.mover.poll() is not None and armed.poll() is None:
            armed.kill()
            _, err = self.mover.communicate()
            raise LabError(f"{self.case}: xl ended with {self.mover.returncode} too early: {err}")

    def disturb(self, host: str, when: str, *actions: str) -> None:
        """Waits for the moment and signals, in one."""
        self.strike(self.arm(host, when, *actions), host, when)

    def signal(self, host: str, name: str, pattern: str) -> None:
        self.lab.remote(host).check(f"kill -{name} $(pgrep -of '{pattern}')")
        self.note(f"{host}: SIG{name} to {pattern}")

    def finish(self, folder: Path) -> None:
        """Waits for xl's end and keeps what it said; a hang is recorded as one, then ended."""
        assert self.mover is not None
        started = time.monotonic()
        try:
            _, err = self.mover.communicate(timeout=FINISH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.mover.kill()
            _, err = self.mover.communicate()
            self.note(f"xl did not end within {FINISH_TIMEOUT_S:.0f} s")
        self.note(f"xl ended with {self.mover.returncode} after {time.monotonic() - started:.0f} s")
        (folder / f"{self.case}.err").write_text(err)
        (folder / f"{self.case}.rc").write_text(f"{self.mover.returncode}\n")

    def save(self, folder: Path) -> None:
        (folder / f"{self.case}-seen.txt").write_text("".join(self.seen))
