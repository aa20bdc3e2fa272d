"""Kernels as files of a simulated dom0: just the part of a bzImage that says what it is."""

from __future__ import annotations

SIZE = 0x1000
TEXT_AT = 0x800
PROTOCOL = 0x20F


def bzimage(release: str, arch: str) -> bytes:
    """A setup header as Linux's build makes it; there is nothing behind it that could run."""
    made = bytearray(SIZE)
    made[0x1FE:0x200] = b"\x55\xaa"
    made[0x202:0x206] = b"HdrS"
    made[0x206:0x208] = PROTOCOL.to_bytes(2, "little")
    made[0x20E:0x210] = (TEXT_AT - 0x200).to_bytes(2, "little")
    made[0x236:0x238] = (1 if arch == "x86_64" else 0).to_bytes(2, "little")
    text = f"{release} (builder@example) #1 SMP PREEMPT_DYNAMIC".encode()
    made[TEXT_AT : TEXT_AT + len(text)] = text
    return bytes(made)
