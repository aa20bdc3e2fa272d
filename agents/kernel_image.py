"""What a kernel's file says of itself: release and architecture. Reads files, runs nothing.

Three forms are known: a bzImage (the setup header of the Linux/x86 boot protocol: `HdrS` at 0x202,
the place of the version's text at 0x20E, `xloadflags` at 0x236), an ELF file, and an arm64 Image.
The latter two have Linux's banner in them. Anything else tells nothing.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

RELEASE = re.compile(r"[0-9]{1,3}\.[0-9]{1,5}[A-Za-z0-9._+~-]{0,56}")
"""What counts as a kernel's release; anything else is not repeated."""

BANNER = re.compile(rb"Linux version ([0-9][\x21-\x7e]{2,60}) ")
SETUP_BYTES = 0x10400  # as far as the header's pointer reaches
CHUNK_BYTES = 1 << 20
OVERLAP_BYTES = 128
LARGEST_BYTES = 256 << 20
SINCE_XLOADFLAGS = 0x20C
MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "arm64"}  # e_machine


@dataclass(frozen=True)
class Image:
    """A kernel's file. `changed_s`: when it was last put there or touched, by dom0's clock."""

    release: str = ""  # empty: it does not say
    arch: str = ""
    changed_s: float = 0.0


def read_image(path: Path) -> Image | None:
    """What the file says; None where it cannot be read, or is none. Never waits for a pipe."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return None
            release, arch = _facts(file)
            return Image(release, arch, max(facts.st_mtime, facts.st_ctime))
    except OSError:
        return None


def _facts(file: BinaryIO) -> tuple[str, str]:
    head = file.read(SETUP_BYTES)
    if head[0x202:0x206] == b"HdrS" and len(head) > 0x238:
        return _setup_header(head)
    if head[:4] == b"\x7fELF" and len(head) > 0x14 and head[5] == 1:  # little-endian
        return _banner(file), MACHINES.get(_word(head, 0x12), "")
    if head[0x38:0x3C] == b"ARM\x64":
        return _banner(file), "arm64"
    return "", ""


def _setup_header(head: bytes) -> tuple[str, str]:
    pointer = _word(head, 0x20E)
    text = head[pointer + 0x200 :][:128].split(b"\0")[0] if pointer else b""
    words = text.decode("ascii", "replace").split()
    if _word(head, 0x206) < SINCE_XLOADFLAGS:
        return cleaned(words[0] if words else ""), ""
    return cleaned(words[0] if words else ""), "x86_64" if _word(head, 0x236) & 1 else "i386"


def _word(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "little")


def _banner(file: BinaryIO) -> str:
    """The release in Linux's banner, wherever it is in the file."""
    file.seek(0)
    kept = b""
    for _ in range(LARGEST_BYTES // CHUNK_BYTES):
        chunk = file.read(CHUNK_BYTES)
        found = BANNER.search(kept + chunk)
        if found:
            return cleaned(found[1].decode("ascii"))
        if not chunk:
            break
        kept = chunk[-OVERLAP_BYTES:]
    return ""


def cleaned(text: str) -> str:
    """A release, or nothing: no other text gets any further."""
    return text if RELEASE.fullmatch(text) else ""
