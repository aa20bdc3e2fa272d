"""`reboot` and the little of `systemctl` that a drain needs: reboot, mask, unmask, is-enabled."""

from __future__ import annotations

import os
import sys

from scheduler.standin.dom0 import Dom0, complain, run, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# What a command makes of a unit.
CHANGES = {"mask": "masked", "unmask": "enabled", "disable": "disabled", "enable": "enabled"}
UNIT_DIR = "etc/systemd/system"


def main(world_dir: str, host: str) -> NoReturn:
    run(lambda: _reboot(Dom0(world_dir, host)))


def systemctl(world_dir: str, host: str) -> NoReturn:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    run(lambda: _systemctl(Dom0(world_dir, host), words))


def _reboot(dom0: Dom0) -> int:
    from scheduler.standin.boot import start_reboot

    start_reboot(dom0.world, dom0.host)
    return 0


def _systemctl(dom0: Dom0, words: list[str]) -> int:
    if not words:
        complain("Too few arguments.\n")
        return 1
    if words[0] == "reboot":
        return _reboot(dom0)
    if words[0] in CHANGES:
        return _change(dom0, words[0], [_full(unit) for unit in words[1:]])
    if words[0] in ("is-enabled", "is-active"):
        return _ask(dom0, words[0], [_full(unit) for unit in words[1:]])
    if words[0] in ("daemon-reload", "start", "stop"):
        return 0
    complain(f"Unknown command verb {words[0]}.\n")
    return 1


def _full(unit: str) -> str:
    return unit if "." in unit else f"{unit}.service"


def _change(dom0: Dom0, verb: str, units: list[str]) -> int:
    for unit in units:
        link = f"{dom0.root}/{UNIT_DIR}/{unit}"
        if os.path.islink(link):
            os.unlink(link)
            complain(f'Removed "/{UNIT_DIR}/{unit}".\n')
        if verb == "mask":
            os.symlink("/dev/null", link)
            complain(f"Created symlink /{UNIT_DIR}/{unit} → /dev/null.\n")
    with dom0.change() as change:
        for unit in units:
            change.state["units"][unit] = CHANGES[verb]
    return 0


def _ask(dom0: Dom0, verb: str, units: list[str]) -> int:
    known = dom0.state()["units"]
    code = 0
    for unit in units:
        state = known.get(unit)
        if verb == "is-active":
            state = "active" if state == "enabled" else "inactive"
        elif state is None:
            complain(f"Failed to get unit file state for {unit}: No such file or directory\n")
            code = 1
            continue
        say(f"{state}\n")
        code = code if state in ("enabled", "active") else 3 if verb == "is-active" else 1
    return code
