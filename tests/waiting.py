"""Waiting for what becomes true a moment later, on a machine that may have other work to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from scheduler.demo import family


def until(true: Callable[[], object], what: str = "it", limit_s: float = 120.0) -> None:
    """Look again and again until it is so. The limit only ends a test that would never end."""
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, f"{what} did not come true within {limit_s:g} s"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has reaped yet has."""
    return all(process.pid != pid or process.zombie for process in family.processes())


def children(pid: int) -> list[int]:
    """The direct children of a process; none where it is gone."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []
