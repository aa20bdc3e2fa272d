"""The disks of a world's guests: one file each, that every host which sees the disk has a link to.

Below a host's `/` a disk is a regular file, as nobody may make device nodes: as large as the disk,
without any of its bytes. What one host sees otherwise than the others is in its state, `spoiled`.
"""

from __future__ import annotations

import os

from scheduler.standin.store import Change, World, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.standin.store import State

DISK_BYTES = 1 << 30
UNREADABLE = "/proc/self/mem"
"""A regular file that can be opened, and whose first block gives an input/output error."""


def attach(world: World, paths: Iterable[str]) -> None:
    """Make these disks, and let every host have those that it sees."""
    wanted = sorted({path for path in paths if path.startswith("/")})
    for path in wanted:
        _make(f"{world.path}/san{path}", DISK_BYTES)
    for host in world.hosts() if wanted else ():
        state = read_state(world, host)
        for path in wanted:
            if sees(state, path):
                _link(world, host, path)


def sees(state: State, path: str) -> bool:
    """Whether the host has a way to this disk."""
    if state.get("spoiled", {}).get(path) == "missing":
        return False
    return state["storage"] is None or any(path.startswith(p) for p in state["storage"])


def spoil(world: World, host: str, path: str, how: str) -> None:
    """From now on the host sees the disk `missing`, of another `size`, or `unreadable`.

    Raises ValueError where there is no such disk.
    """
    if not os.path.exists(f"{world.path}/san{path}"):
        raise ValueError(f"there is no disk {path or '(none was named)'!r} in this world")
    with Change(world, host) as change:
        change.state.setdefault("spoiled", {})[path] = how
    _take_away(world, host, path)
    here = _here(world, host, path)
    if how == "size":
        _make(here, DISK_BYTES // 2)
    elif how == "unreadable":
        os.symlink(UNREADABLE, here)


def mend(world: World, host: str, state: State) -> None:
    """The host sees every disk again as the others do; to be called while its state is changed."""
    for path in state.pop("spoiled", {}):
        _take_away(world, host, path)
        if sees(state, path):
            _link(world, host, path)


def _here(world: World, host: str, path: str) -> str:
    return f"{world.host_dir(host)}/root{path}"


def _make(path: str, size_bytes: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as file:
        file.truncate(size_bytes)


def _link(world: World, host: str, path: str) -> None:
    here = _here(world, host, path)
    os.makedirs(os.path.dirname(here), exist_ok=True)
    if not os.path.lexists(here):
        os.link(f"{world.path}/san{path}", here)


def _take_away(world: World, host: str, path: str) -> None:
    here = _here(world, host, path)
    if os.path.lexists(here):
        os.unlink(here)
