"""The migration stream: the messages of both ends, and the records between them.

Header, configuration and messages are Xen's own bytes.  The records of the memory image are ours:
a kind, how much guest memory (KiB) the record stands for, and a small payload, so that whoever
carries the stream sees it flow.
"""

from __future__ import annotations

import os

from scheduler.standin.dom0 import complain
from scheduler.standin.store import write_all

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BANNER = b"xl migration receiver ready, send binary domain data.\n"
READY = b"domain received, ready to unpause\0"
GO = b"domain is yours, you are cleared to unpause\0"
REPORT = b"my copy unpause results are as follows\0"
BYTE_ORDER = 0x01020304
MANDATORY = 3  # the configuration is JSON, the stream is of version 2
HEADER_LENGTH = 48

IMAGE, PAGES, LAST, END = b"I", b"P", b"L", b"E"
BYTES_PER_MIB = 64
READ_EXACTLY = "libxl: error: libxl_utils.c:505:libxl_read_exactly:"


def header(config: bytes) -> bytes:
    """The 48 bytes before a configuration, and the configuration with its length."""
    numbers = (BYTE_ORDER, MANDATORY, 0, len(config) + 4)
    packed = b"".join(number.to_bytes(4, "little") for number in numbers)
    return MAGIC + packed + len(config).to_bytes(4, "little") + config


def number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def read_exactly(descriptor: int, length: int) -> bytes | None:
    """`length` bytes, or None where the stream ends before."""
    data = b""
    while len(data) < length:
        piece = os.read(descriptor, length - len(data))
        if not piece:
            return None
        data += piece
    return data


def read_message(descriptor: int, message: bytes, what: str, source: str, rune: str = "") -> bool:
    """Whether exactly this message comes next; says what came instead."""
    data = read_exactly(descriptor, len(message))
    if data is None:
        complain(f"{READ_EXACTLY} file/stream truncated reading {what} from {source}\n")
        return False
    if data != message:
        complain(f"{source} contained unexpected data instead of {what}\n")
        if rune:
            complain(f"(command run was: {rune} )\n")
        return False
    return True


def record(kind: bytes, memory_kib: int = 0, payload: bytes = b"") -> bytes:
    return kind + memory_kib.to_bytes(4, "little") + len(payload).to_bytes(4, "little") + payload


def pages(memory_kib: int) -> bytes:
    """A record that stands for this much guest memory."""
    length = min(32768, max(BYTES_PER_MIB, memory_kib // 1024 * BYTES_PER_MIB))
    return record(PAGES, memory_kib, bytes(length))


def read_record(descriptor: int) -> tuple[bytes, int, bytes] | None:
    """(kind, KiB of guest memory, payload), or None where the stream ends."""
    head = read_exactly(descriptor, 9)
    if head is None:
        return None
    payload = read_exactly(descriptor, number(head, 5))
    return None if payload is None else (head[:1], number(head, 1), payload)


def try_write(descriptor: int, data: bytes) -> bool:
    """False where nobody reads any more."""
    try:
        write_all(descriptor, data)
    except BrokenPipeError:
        return False
    return True


def drained(descriptor: int) -> bool:
    """Whether the other end of a pipe has taken everything that was written to it."""
    import fcntl

    waiting = fcntl.ioctl(descriptor, 0x541B, b"\0\0\0\0")  # FIONREAD
    return not any(waiting)
