"""In dom0: waits for a moment of a migration, then sends signals, at once and on the spot.

    disturb.py WHEN GUEST SIGNAL:PATTERN...

WHEN is `incoming` (the receiver has begun to fill GUEST's memory), `suspended` (GUEST stopped for
the last pages) or `renamed` (GUEST is called GUEST--migratedaway). Each PATTERN is searched in the
command lines; the oldest process found gets the signal. Prints what was hit.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/lib/xen-4.17/lib/python")

from xen.lowlevel import xc, xs  # type: ignore[import-not-found]

# Long enough to leave the only virtual CPU to the migration, short against its phases.
PAUSE_S = 0.02
TIMEOUT_S = 600.0
BEGUN_KIB = 4096


def names(hypervisor: Any, store: Any) -> dict[str, dict[str, Any]]:
    """name -> what the hypervisor says of it, for every guest."""
    found = {}
    for info in hypervisor.domain_getinfo(0, 1024):
        name = store.read("", f"/local/domain/{info['domid']}/name")
        if name is not None:
            found[name.decode()] = info
    return found


def moment(when: str, guest: str) -> Callable[[], bool]:
    """A question that is answered with yes once the moment has come."""
    hypervisor, store = xc.xc(), xs.xs()
    if when == "incoming":
        incoming = f"{guest}--incoming"
        return lambda: names(hypervisor, store).get(incoming, {"mem_kb": 0})["mem_kb"] > BEGUN_KIB
    domid = names(hypervisor, store)[guest]["domid"]
    if when == "suspended":
        return lambda: bool(hypervisor.domain_getinfo(domid, 1)[0]["shutdown"])
    if when == "renamed":
        path = f"/local/domain/{domid}/name"
        return lambda: store.read("", path) == f"{guest}--migratedaway".encode()
    raise SystemExit(f"no such moment: {when}")


def oldest(pattern: str) -> tuple[int, str]:
    """The process with the lowest number whose command line matches."""
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # ended while we looked
        line = b" ".join(words).decode().strip()
        if pid != os.getpid() and re.search(pattern, line):
            return pid, line
    raise SystemExit(f"no process matches {pattern}")


def main() -> None:
    when, guest, *actions = sys.argv[1:]
    come = moment(when, guest)
    print("waiting", flush=True)
    deadline = time.monotonic() + TIMEOUT_S
    while not come():
        if time.monotonic() > deadline:
            raise SystemExit(f"{guest} was never {when}")
        time.sleep(PAUSE_S)
    for action in actions:
        name, pattern = action.split(":", 1)
        pid, line = oldest(pattern)
        os.kill(pid, signal.Signals[f"SIG{name}"])
        print(f"SIG{name} to {line}", flush=True)


main()
