"""A guest with a disk at a path, and a dom0 that has it."""

from __future__ import annotations

from pathlib import Path

from tests.agents_dom0 import Dom0

PATH = "/dev/san/db"


def dom0_with_disk(base: Path) -> Dom0:
    """A dom0 that has the disk at PATH."""
    made = Dom0(base, disk_limit_s=20.0)
    (made.root / "dev/san").mkdir(parents=True)
    (made.root / "dev/san/db").write_bytes(bytes(4096))
    return made
