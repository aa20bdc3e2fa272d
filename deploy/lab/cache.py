"""Built things, kept under a name that is a hash of everything they were built from."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.tools import Say, timed

KEY_LENGTH = 16
KEPT = 3
"""Results of one stage that may lie beside each other."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing to build: `inputs` are the texts and files that decide the result."""

    name: str
    inputs: Sequence[str | Path]
    build: Callable[[Path], None]


def key_of(stage: Stage) -> str:
    """The same inputs give the same key on every machine; a file counts by its content."""
    digest = hashlib.sha256(stage.name.encode())
    for item in stage.inputs:
        data = item.read_bytes() if isinstance(item, Path) else item.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:KEY_LENGTH]


def built(cache: Path, stage: Stage, say: Say) -> Path:
    """The stage's folder, built now if it is not there.

    A build that breaks off never counts: it happens in a folder `….part` that gets its name at
    the end. Of results of other inputs the newest few are kept (two branches may share a cache).
    """
    folder = cache / f"{stage.name}-{key_of(stage)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(cache / f"{stage.name}.lock"):
        if folder.is_dir():
            os.utime(folder)
            return folder
        part = cache / f"{folder.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        with timed(say, f"building {stage.name}"):
            stage.build(part)
        part.rename(folder)
        _remove_others(cache, folder, stage.name)
    return folder


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_others(cache: Path, keep: Path, name: str) -> None:
    length = len(name) + 1 + KEY_LENGTH
    others = [
        other
        for other in cache.glob(f"{name}-*")
        if other != keep and other.is_dir() and len(other.name.removesuffix(".part")) == length
    ]
    finished = [other for other in others if not other.name.endswith(".part")]
    recent = sorted(finished, key=lambda other: other.stat().st_mtime, reverse=True)[: KEPT - 1]
    for other in others:
        if other not in recent:
            shutil.rmtree(other)
