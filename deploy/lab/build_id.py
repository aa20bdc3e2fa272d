"""The build id of a hypervisor's file, and the same hypervisor under another one."""

import hashlib
import re
from pathlib import Path

from deploy.lab.errors import LabError


def build_id(xen: Path) -> str:
    """The build id of a hypervisor's file: what `xl info` shows once it is booted."""
    return _note(xen.read_bytes()).group(1).hex()


def _note(xen: bytes) -> re.Match[bytes]:
    """Its ELF note: 4 bytes of name, 20 of id, type 3 (NT_GNU_BUILD_ID), "GNU", the id."""
    header = (4).to_bytes(4, "little") + (20).to_bytes(4, "little") + (3).to_bytes(4, "little")
    found = list(re.finditer(re.escape(header + b"GNU\0") + b"(.{20})", xen, re.DOTALL))
    if not found or len({match.group(1) for match in found}) != 1:
        raise LabError(f"the hypervisor holds {len(found)} build ids, not 1")
    return found[0]


def with_another_build_id(xen: Path, folder: Path) -> Path:
    """The same hypervisor under another build id: "the fixed one" where none can be compiled.

    Nothing but the id differs. What it shows is which file a host booted; it fixes nothing.
    """
    data = xen.read_bytes()
    old = _note(data).group(1)
    new = hashlib.sha1(b"fixed " + old, usedforsecurity=False).digest()
    copy = folder / "xen-fixed"
    copy.write_bytes(data.replace(old, new))
    return copy
