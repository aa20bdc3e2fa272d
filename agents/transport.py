"""What a move's transport has written, by the counters of its processes in `/proc`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def written_below(pid: int) -> int | None:
    """Bytes written by the process below `pid` that wrote most: it carries the memory."""
    written = [n for one in _descendants(pid) if (n := _written(one)) is not None]
    return max(written, default=None)


def _descendants(pid: int) -> Iterator[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for one in map(int, found):
        yield one
        yield from _descendants(one)


def _written(pid: int) -> int | None:
    try:
        found = re.search(r"^wchar: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) if found else None
