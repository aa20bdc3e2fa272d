"""Looks at paths of disks: `python -I -S disk_probe.py`. Standard library only.

stdin: lines `{"paths": [...], "sys": "/sys", "limit_s": 5}`; stdout: for each one a line, a list of
what was found. A read from a device whose storage is gone can hang for minutes, and nothing ends
it: so this is a program of its own, each path has a thread, and whoever asks waits for the line.
It ends when nobody has asked anything for a while. Nothing is ever opened for writing.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import stat
import sys
import threading
import time
from typing import Any

Found = dict[str, Any]

BLOCK = 4096
IDLE_S = 60.0
LATE = "no answer within"
IDENTITIES = ("dm/uuid", "wwid", "device/wwid", "serial")
"""Below a device's folder in sysfs: device mapper (multipath, LVM), NVMe, SCSI, virtio."""


class Problem(Exception):
    """Why a guest could not use what is there."""


def probe(path: str, sysfs: str) -> Found:
    """What is at this path."""
    found: Found = {"target": path}
    try:
        _look(path, sysfs, found)
    except Problem as problem:
        found["problem"] = str(problem)
    except OSError as error:
        found["problem"] = f"{error.strerror}"
    return found


def _look(path: str, sysfs: str, found: Found) -> None:
    facts = os.stat(path)
    if stat.S_ISBLK(facts.st_mode):
        found["kind"] = "device"
        found["identity"] = identity(sysfs, os.major(facts.st_rdev), os.minor(facts.st_rdev))
    elif stat.S_ISREG(facts.st_mode):
        found["kind"] = "file"
    else:
        raise Problem("neither a block device nor a file")
    descriptor = _open(path)
    try:
        _read(descriptor)
        found["size_bytes"] = os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    """Past the cache where the file system can do that, so that the storage itself answers."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError:
        return os.open(path, flags)


def _read(descriptor: int) -> None:
    with mmap.mmap(-1, BLOCK) as aligned:
        if not os.preadv(descriptor, [aligned], 0):
            raise Problem("empty: nothing can be read")


def identity(sysfs: str, major: int, minor: int) -> str:
    """The device's own name, the same on every host that reaches it; empty where it has none."""
    folder = os.path.realpath(f"{sysfs}/dev/block/{major}:{minor}")
    number = _text(f"{folder}/partition")
    whole = os.path.dirname(folder) if number else folder
    for one in IDENTITIES:
        said = _text(f"{whole}/{one}")
        if said:
            return f"{said}:{number}" if number else said
    return ""


def _text(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return " ".join(file.read(400).split())[:280]
    except OSError:
        return ""


def probe_all(paths: list[str], sysfs: str, limit_s: float) -> list[Found]:
    """What is at each path; one that does not answer in time is said to be so."""
    found: dict[str, Found] = {}

    def one(path: str) -> None:
        found[path] = probe(path, sysfs)

    threads = [threading.Thread(target=one, args=(path,), daemon=True) for path in paths]
    for thread in threads:
        thread.start()
    end = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"{LATE} {limit_s:g} s"
    return [found.get(path, {"target": path, "problem": late}) for path in paths]


def main() -> None:
    while select.select([0], [], [], IDLE_S)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        asked = json.loads(line)
        found = probe_all(asked["paths"], asked["sys"], asked["limit_s"])
        os.write(1, json.dumps(found).encode() + b"\n")
    os._exit(0)  # whatever thread still waits for a device


if __name__ == "__main__":
    main()
