"""Faults on demand: what can be injected, and how a program asks whether its turn has come.

A fault is a file `faults/{host,guest}/NAME/FAULT.N`, one per time it shall strike (`FAULT.always`:
every time).  To take one is to remove its file, so that of several processes one gets it, without
a lock, whoever is killed when.
"""

from __future__ import annotations

import os
import time

from scheduler.standin.store import HostGone, World, read_state, read_text, replace_file

HOST, GUEST = "host", "guest"


def _folder(world: World, scope: str, name: str) -> str:
    return f"{world.path}/faults/{scope}/{name}"


def _files(world: World, scope: str, name: str, fault: str) -> list[str]:
    try:
        found = os.listdir(_folder(world, scope, name))
    except OSError:
        return []
    return sorted(f for f in found if f.rpartition(".")[0] == fault)


def put(world: World, scope: str, name: str, fault: str, count: int | None, text: str) -> None:
    """Arm a fault `count` times (None: until cleared)."""
    folder = _folder(world, scope, name)
    os.makedirs(folder, exist_ok=True)
    if count is None:
        replace_file(f"{folder}/{fault}.always", text)
        return
    for _ in range(count):
        replace_file(f"{folder}/{fault}.{time.time_ns()}", text)


def _unlink(path: str) -> None:
    """Remove a file unless another process did."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def clear(world: World, scope: str, name: str, fault: str | None = None) -> None:
    """Disarm one fault of this host or guest, or all of them."""
    folder = _folder(world, scope, name)
    if not os.path.isdir(folder):
        return
    for file in os.listdir(folder):
        if fault in (None, file.rpartition(".")[0]) or (fault == "xl-hang" and "hanging" in file):
            _unlink(f"{folder}/{file}")


def mark_hanging(world: World, host: str) -> str:
    """A file that says: this process hangs; it goes on when the file is gone."""
    mark = f"{_folder(world, HOST, host)}/hanging.{os.getpid()}"
    replace_file(mark, "")
    return mark


def armed(world: World, scope: str, name: str, fault: str) -> str | None:
    """The fault's text if it is armed, without taking it."""
    for file in _files(world, scope, name, fault):
        try:
            return read_text(f"{_folder(world, scope, name)}/{file}")
        except FileNotFoundError:
            continue
    return None


def take(world: World, scope: str, name: str, fault: str) -> str | None:
    """The fault's text if it strikes now (and once less from now on); None if not."""
    folder = _folder(world, scope, name)
    for file in _files(world, scope, name, fault):
        try:
            text = read_text(f"{folder}/{file}")
            if not file.endswith(".always"):
                os.unlink(f"{folder}/{file}")
        except FileNotFoundError:
            continue  # another process took this one
        return text
    return None


def hold(world: World, guest: str, point: str, host: str, generation: int) -> None:
    """Wait here as long as `hold-POINT` is armed for the guest: for tests that kill at a moment.

    `held` in the fault's folder tells that somebody waits.
    """
    if armed(world, GUEST, guest, f"hold-{point}") is None:
        return
    replace_file(f"{_folder(world, GUEST, guest)}/held-{point}", str(os.getpid()))
    while armed(world, GUEST, guest, f"hold-{point}") is not None:
        if read_state(world, host)["generation"] != generation:
            raise HostGone(host)
        time.sleep(0.005)
    _unlink(f"{_folder(world, GUEST, guest)}/held-{point}")


def held(world: World, guest: str, point: str) -> int | None:
    """The pid of the process that waits at this point; None if there is none yet."""
    try:
        return int(read_text(f"{_folder(world, GUEST, guest)}/held-{point}"))
    except FileNotFoundError:
        return None
