"""Documents that commands read and write: whole, or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import zlib
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
STANDARD = "-"
"""The name that means standard input, or output."""


class FileError(Exception):
    """A file cannot be read or written; the text names it and says why."""


def read_document(path: str) -> bytes:
    """The bytes of a document; unpacked where it is packed by gzip. Raises FileError."""
    try:
        data = sys.stdin.buffer.read() if path == STANDARD else Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {_why(error)}") from error
    return _unpacked(path, data) if data.startswith(GZIP_MAGIC) else data


def _unpacked(path: str, data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        unpacked = unpacker.decompress(data)
    except zlib.error as error:
        raise FileError(f"{path}: broken gzip data ({error})") from error
    if not unpacker.eof:
        raise FileError(f"{path}: broken gzip data (it ends too early)")
    if unpacker.unused_data:
        raise FileError(f"{path}: more data after the end of the gzip data")
    return unpacked


def refuse_unwritable(path: str) -> None:
    """Raise FileError where a document could not be written anyway, before any work is done."""
    if path == STANDARD:
        return
    target = Path(path)
    if target.is_dir():
        raise FileError(f"{path}: is a directory; expected a file")
    if not target.parent.is_dir():
        raise FileError(f"{path}: there is no directory {str(target.parent)!r}")


def same_file(one: str, other: str) -> bool:
    """Whether two names, of which any may be missing or `-`, are of one file."""
    if STANDARD in (one, other):
        return False
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def write_document(path: str, data: bytes) -> None:
    """Write a document so that a reader sees all of it or what was there before.

    Raises FileError.
    """
    try:
        if path == STANDARD:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif _is_special(path):
            Path(path).write_bytes(data)
        else:
            _replace(Path(path).resolve(), data)
    except OSError as error:
        raise FileError(f"{path}: {_why(error)}") from error


def _is_special(path: str) -> bool:
    """Whether it is a device or a pipe, which must not be replaced by a file."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _replace(target: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), _mode(target))
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    _sync_directory(target.parent)


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those that a new one gets."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return error.strerror or str(error)
