"""The live patches that could be loaded on this host, with the digests of their files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from agents.settings import Settings

SUFFIX = ".livepatch"
MOST_FILES = 200
LARGEST_BYTES = 64 * 2**20
Mark = tuple[int, int, int]


class Payloads:
    """Reads the payload directory; a file that did not change is not read again."""

    def __init__(self, settings: Settings) -> None:
        self.directory = settings.path(settings.payload_dir)
        self._known: dict[str, tuple[Mark, str]] = {}

    def read(self) -> dict[str, str]:
        """Name (without its ending) -> SHA-256. Raises OSError where the directory is closed."""
        if not self.directory.is_dir():
            return {}
        paths = sorted(self.directory.glob(f"*{SUFFIX}"))[:MOST_FILES]
        self._known = {path.name: self._digest(path) for path in paths if path.is_file()}
        return {
            name.removesuffix(SUFFIX): digest for name, (_, digest) in self._known.items() if digest
        }

    def _digest(self, path: Path) -> tuple[Mark, str]:
        seen = os.stat(path)
        mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        before = self._known.get(path.name)
        if before and before[0] == mark:
            return before
        if seen.st_size > LARGEST_BYTES:
            return mark, ""
        return mark, hashlib.sha256(path.read_bytes()).hexdigest()
