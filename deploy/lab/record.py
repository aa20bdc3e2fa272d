"""Failures of a real migration, provoked on purpose and written down as they look.

    python -m deploy.lab.record FOLDER [CASE ...]

Each case leaves CASE.err (both ends' stderr, as xl's caller sees it), CASE.rc, and CASE-seen.txt:
`xl list` of both hosts and the guests' ticks at each moment that matters.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.lab import moves
from deploy.lab.errors import LabError
from deploy.lab.guests import Guest, create
from deploy.lab.lab import Lab, opened
from deploy.lab.layout import layout_from
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
        out, _ = armed.communicate(timeout=FINISH_TIMEOUT_S)
        if armed.returncode != 0:
            raise LabError(f"{self.case}: {host} never saw the moment: {when}")
        for line in out.splitlines():
            self.note(f"{host}, once {when}: {line}")

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


Case = Callable[[Scene, Path], None]


def success(scene: Scene, folder: Path) -> None:
    """Nothing goes wrong; both hosts at the moments that last: pre-copy, suspended, renamed."""
    scene.begin()
    scene.disturb(DESTINATION, "incoming", f"STOP:{RECEIVER}")
    scene.look("pre-copy (receiver stopped for the look)")
    scene.signal(DESTINATION, "CONT", RECEIVER)
    scene.disturb(SOURCE, "suspended", f"STOP:{SENDER}")
    scene.look("suspended for the last pages (sender stopped for the look)")
    armed = scene.arm(SOURCE, "renamed", f"STOP:{SENDER}")
    scene.signal(SOURCE, "CONT", SENDER)
    scene.strike(armed, SOURCE, "renamed")
    scene.look("--migratedaway (sender stopped for the look)")
    scene.signal(SOURCE, "CONT", SENDER)
    scene.finish(folder)
    scene.look("after")


def sender_killed_when_suspended(scene: Scene, folder: Path) -> None:
    """Nobody is left to resume the guest: it stays suspended at the source for ever."""
    scene.begin()
    scene.disturb(SOURCE, "suspended", f"KILL:{SENDER}")
    scene.finish(folder)
    time.sleep(45)
    scene.look("45 s after: stranded")
    domid = scene.source.check(f"xl domid {scene.guest.name}").strip()
    scene.source.check(f"python3 /usr/lib/lab/resume.py {domid}")
    time.sleep(10)
    scene.look("10 s after xc.domain_resume(domid, 1) at the source")
    time.sleep(5)
    scene.look("5 s later", [SOURCE])


def sender_killed_when_renamed(scene: Scene, folder: Path) -> None:
    scene.begin()
    scene.disturb(SOURCE, "renamed", f"KILL:{SENDER}")
    scene.finish(folder)
    time.sleep(30)
    scene.look("30 s after")


def receiver_killed_in_precopy(scene: Scene, folder: Path) -> None:
    """What nobody destroys at the destination: NAME--incoming."""
    scene.begin()
    scene.disturb(DESTINATION, "incoming", f"KILL:{RECEIVER}")
    scene.finish(folder)
    time.sleep(20)
    scene.look("20 s after: stale --incoming")
    attempt = moves.migrate(scene.source, scene.guest.name, DESTINATION)
    (folder / f"{scene.case}-again.err").write_text(attempt.err)
    (folder / f"{scene.case}-again.rc").write_text(f"{attempt.code}\n")
    scene.look("after a second attempt that met the stale copy")


def helper_terminated_in_precopy(scene: Scene, folder: Path) -> None:
    """The gentlest way to stop a migration from outside."""
    scene.begin()
    scene.disturb(DESTINATION, "incoming")
    scene.signal(SOURCE, "TERM", HELPER)
    scene.finish(folder)
    time.sleep(10)
    scene.look("10 s after")


def deaf_guest(scene: Scene, folder: Path) -> None:
    """A guest that runs on and never acknowledges the suspend request."""
    scene.begin()
    scene.finish(folder)
    scene.look("after")


def destination_dies_when_renamed(scene: Scene, folder: Path) -> None:
    """After the transfer: the source cannot know whether its guest was started there."""
    scene.begin()
    scene.disturb(SOURCE, "renamed", f"STOP:{SENDER}")
    scene.look("just before the destination loses power (sender stopped)")
    scene.lab.switch_off(DESTINATION)
    scene.note("destination switched off")
    scene.signal(SOURCE, "CONT", SENDER)
    scene.finish(folder)
    scene.look("after", [SOURCE])
    scene.lab.switch_on(DESTINATION)
    scene.look("destination is back")


def destination_dies_in_precopy(scene: Scene, folder: Path) -> None:
    scene.begin()
    scene.disturb(DESTINATION, "incoming")
    scene.lab.switch_off(DESTINATION)
    scene.note("destination switched off")
    scene.finish(folder)
    scene.look("after", [SOURCE])
    scene.lab.switch_on(DESTINATION)


def source_dies_in_precopy(scene: Scene, folder: Path) -> None:
    """The guest is lost with its host; what the destination does with its half."""
    scene.begin()
    scene.disturb(DESTINATION, "incoming")
    scene.lab.switch_off(SOURCE)
    scene.note("source switched off")
    scene.look("at once", [DESTINATION])
    scene.finish(folder)
    time.sleep(60)
    scene.look("60 s after", [DESTINATION])
    scene.lab.switch_on(SOURCE)


def wire_cut_in_precopy(scene: Scene, folder: Path) -> None:
    scene.begin()
    scene.disturb(DESTINATION, "incoming")
    scene.lab.cut(DESTINATION)
    scene.note("destination cut off")
    scene.finish(folder)
    time.sleep(40)
    scene.look("40 s after xl's end, still cut")
    scene.lab.heal(DESTINATION)


def wire_cut_when_renamed(scene: Scene, folder: Path) -> None:
    """The worst moment: the permission to start may or may not have arrived."""
    scene.begin()
    scene.disturb(SOURCE, "renamed", f"STOP:{SENDER}")
    scene.lab.cut(DESTINATION)
    scene.note("destination cut off while the sender was stopped")
    scene.signal(SOURCE, "CONT", SENDER)
    scene.finish(folder)
    time.sleep(40)
    scene.look("40 s after xl's end, still cut")
    scene.lab.heal(DESTINATION)


CASES: dict[str, Case] = {
    "success": success,
    "sender-killed-when-suspended": sender_killed_when_suspended,
    "sender-killed-when-renamed": sender_killed_when_renamed,
    "receiver-killed-in-precopy": receiver_killed_in_precopy,
    "helper-terminated-in-precopy": helper_terminated_in_precopy,
    "deaf-guest": deaf_guest,
    "destination-dies-in-precopy": destination_dies_in_precopy,
    "destination-dies-when-renamed": destination_dies_when_renamed,
    "wire-cut-in-precopy": wire_cut_in_precopy,
    "wire-cut-when-renamed": wire_cut_when_renamed,
    "source-dies-in-precopy": source_dies_in_precopy,
}


def clear(lab: Lab) -> None:
    """No guest on either host; in a lab, and only there, that may be done by destroying."""
    for name in (SOURCE, DESTINATION):
        domains = lab.remote(name).check("xl list | awk 'NR > 2 { print $2 }'").split()
        for domid in domains:
            lab.remote(name).check(f"xl destroy {domid}")


def record(lab: Lab, folder: Path, case: str) -> None:
    """One case on two empty hosts."""
    clear(lab)
    number = list(CASES).index(case) + 1
    guest = Guest(re.sub(r"[^a-z]", "", case)[:12], number, deaf=case == "deaf-guest")
    create(lab.remote(SOURCE), guest)
    scene = Scene(lab, case, guest)
    scene.look("before")
    try:
        CASES[case](scene, folder)
    finally:
        scene.save(folder)


def main(argv: Sequence[str]) -> int:
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    lab = opened(layout_from(os.environ), print)
    failed = []
    for case in argv[1:] or list(CASES):
        try:
            record(lab, folder, case)
        except LabError as problem:
            print(f"{case}: {problem}", file=sys.stderr)
            failed.append(case)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
