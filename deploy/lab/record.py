"""Failures of a real migration, provoked on purpose and written down as they look.

    python -m deploy.lab.record FOLDER [CASE ...]

Each case leaves CASE.err (both ends' stderr, as xl's caller sees it), CASE.rc, and CASE-seen.txt:
`xl list` of both hosts and the guests' ticks at each moment that matters.
`record_monitor.py` has the cases of a guest's monitor.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.lab import moves
from deploy.lab.errors import LabError
from deploy.lab.guests import Guest, create
from deploy.lab.lab import Lab, opened
from deploy.lab.layout import layout_from
from deploy.lab.record_monitor import monitor_killed, resumed_without_monitor
from deploy.lab.scene import DESTINATION, HELPER, RECEIVER, SENDER, SOURCE, Scene

SLOW_MS = 3000

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


def slow_handshake(scene: Scene) -> None:
    """Returns when the source has just renamed its copy, on a wire that takes its time.

    The permission to start needs SLOW_MS to the destination, the report as long to come back:
    time enough for whoever wants to strike in between.
    """
    scene.begin()
    scene.disturb(SOURCE, "suspended", f"STOP:{SENDER}")
    scene.lab.delay(DESTINATION, SLOW_MS)
    armed = scene.arm(SOURCE, "renamed")
    scene.signal(SOURCE, "CONT", SENDER)
    scene.strike(armed, SOURCE, "renamed")


def destination_dies_when_renamed(scene: Scene, folder: Path) -> None:
    """After the transfer: the source cannot know whether its guest was started there."""
    slow_handshake(scene)
    scene.lab.switch_off(DESTINATION)
    scene.lab.delay(DESTINATION, 0)
    scene.note("destination switched off before it got the permission to start")
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
    for waited_s in (60, 180):
        time.sleep(waited_s)
        scene.look(f"another {waited_s} s after", [DESTINATION])
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
    """The worst moment: here the permission to start is lost on its way."""
    slow_handshake(scene)
    cut_for_good(scene, folder)


def wire_cut_after_permission(scene: Scene, folder: Path) -> None:
    """The same for the source, but the destination got the permission: its guest runs."""
    slow_handshake(scene)
    time.sleep(SLOW_MS * 1.5 / 1000)
    cut_for_good(scene, folder)


def cut_for_good(scene: Scene, folder: Path) -> None:
    scene.lab.cut(DESTINATION)
    scene.lab.delay(DESTINATION, 0)
    scene.note("destination cut off")
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
    "wire-cut-after-permission": wire_cut_after_permission,
    "source-dies-in-precopy": source_dies_in_precopy,
    "monitor-killed": monitor_killed,
    "resumed-without-monitor": resumed_without_monitor,
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
