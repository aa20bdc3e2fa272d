"""What crosses about the disks of guests: which a guest has, and what a host finds at a path."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agents.wire_base import Wire


class Disk(Wire):
    """A disk of a guest, as `xl list -l` has it."""

    vdev: str = Field(max_length=64)
    target: str = Field(max_length=1024)
    format: str = Field(default="", max_length=64)
    script: str = Field(default="", max_length=255)

    def __str__(self) -> str:
        return f"{self.vdev} ({self.target})"

    @property
    def unchecked(self) -> str:
        """Why no host can be asked whether it has this disk; empty where one can."""
        if self.script:
            return f"script {self.script} attaches it"
        return "" if self.target.startswith("/") else "it is no path of the host"

    @property
    def grows(self) -> bool:
        """Whether its file may have another size a moment later."""
        return self.format not in ("", "raw")


class DiskFound(Wire):
    """What a host found at a path, right now: opened for reading, and its first block read."""

    target: str = Field(max_length=1024)
    problem: str = Field(default="", max_length=300)  # empty: it can be read
    kind: Literal["", "device", "file"] = ""
    size_bytes: int | None = Field(default=None, ge=0)
    identity: str = Field(default="", max_length=300)  # the device's own, where it tells one
