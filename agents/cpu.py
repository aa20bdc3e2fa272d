"""The CPU by dom0's `/proc/cpuinfo`: vendor, signature, and the lowest revision of microcode."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.settings import Settings

LINE = re.compile(r"^(?P<key>[a-z_ ]+?)\s*:\s*(?P<value>.+)$", re.M)


@dataclass(frozen=True)
class Cpu:
    """Empty texts where dom0 does not tell, as on ARM."""

    vendor: str = ""  # "GenuineIntel"
    signature: str = ""  # family-model-stepping in hexadecimal, as vendors name microcode files
    microcode: str = ""  # "0x5003604": the lowest of all CPUs that dom0 sees


def cpu(settings: Settings) -> Cpu:
    """What the file says now; nothing where there is none."""
    try:
        return parse(settings.path("/proc/cpuinfo").read_text())
    except (FileNotFoundError, UnicodeDecodeError):
        return Cpu()


def parse(text: str) -> Cpu:
    """`key : value` lines, a block for each CPU."""
    pairs = [(found["key"], found["value"].strip()) for found in LINE.finditer(text)]
    first = dict(reversed(pairs))
    revisions = [value for key, value in pairs if key == "microcode"]
    known = all(re.fullmatch(r"0x[0-9a-f]{1,16}", value) for value in revisions)
    lowest = min((int(value, 16) for value in revisions), default=None) if known else None
    return Cpu(
        vendor=first.get("vendor_id", ""),
        signature=_signature(first),
        microcode="" if lowest is None else hex(lowest),
    )


def _signature(pairs: dict[str, str]) -> str:
    numbers = [pairs.get(key, "") for key in ("cpu family", "model", "stepping")]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return ""
    return "-".join(f"{int(number):02x}" for number in numbers)
