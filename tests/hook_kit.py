"""A hook that is a script of a test."""

from __future__ import annotations

from pathlib import Path

from scheduler.gates import Hook


def script(path: Path, body: str) -> Hook:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return Hook(argv=(str(path), "argument"))
