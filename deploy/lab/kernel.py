"""Kernels: Debian's for dom0, a small one of Debian's source for the guests."""

import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.tools import find, run

ELF = b"\x7fELF"
# Left out when the source is unpacked: what this configuration never compiles.
SKIPPED_SOURCE = (
    "*/drivers/gpu/*.[ch]",
    "*/sound/*.[ch]",
    "*/drivers/media/*.[ch]",
    "*/drivers/staging/*.[ch]",
    "*/Documentation/*.rst",
    "*/tools/testing/*",
)
# drivers/xen/manage.c keeps its orders in a table whose entries begin with 11 bytes of name.
ENTRY_BYTES = 24
DEAF_NAME = b"ignored"


def unpacked(compressed: bytes) -> bytes:
    """The ELF kernel inside a bzImage: Xen loads dom0's kernel, and PVH guests, from an ELF."""
    unpackers: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
        (b"\xfd7zXZ\x00", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)),
        (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(31).decompress(data)),
    )
    for magic, unpack in unpackers:
        at = compressed.find(magic)
        while at >= 0:
            try:
                kernel = unpack(compressed[at:])
            except (lzma.LZMAError, zlib.error):
                kernel = b""  # only looks like the magic: the next one may be it
            if kernel.startswith(ELF):
                return kernel
            at = compressed.find(magic, at + 1)
    raise LabError("the kernel image holds no ELF compressed by xz or gzip")


def deaf(kernel: bytes) -> bytes:
    """The same guest kernel, deaf to the order "suspend": it runs on and never acknowledges it.

    The name of the order is overwritten in the kernel's table, which follows the entry "reboot".
    """
    entry = b"suspend\x00\x00\x00\x00"
    places = [
        at
        for at in _occurrences(kernel, entry)
        if kernel[at - ENTRY_BYTES :].startswith(b"reboot\x00")
    ]
    if len(places) != 1:
        raise LabError(f"the guest kernel's table of orders was found {len(places)} times, not 1")
    at = places[0]
    return kernel[:at] + DEAF_NAME + kernel[at + len(DEAF_NAME) :]


def _occurrences(data: bytes, wanted: bytes) -> list[int]:
    places, at = [], data.find(wanted)
    while at >= 0:
        places.append(at)
        at = data.find(wanted, at + 1)
    return places


def build_guest_kernel(source: Path, config: Path, folder: Path, log: Path) -> None:
    """folder/vmlinux and folder/vmlinux-deaf, compiled from Debian's linux-source package."""
    [archive] = source.glob("linux-source-*/usr/src/linux-source-*.tar.xz")
    tree = folder / "tree"
    tree.mkdir()
    excluded = [f"--exclude={pattern}" for pattern in SKIPPED_SOURCE]
    run(["tar", "-xf", str(archive), "-C", str(tree), "--strip-components=1", *excluded], log)
    make = ["make", "-s", "-C", str(tree), f"-j{os.cpu_count() or 1}"]
    # Two builds of the same source then give the same kernel.
    fixed = {"KBUILD_BUILD_TIMESTAMP": "2000-01-01", "KBUILD_BUILD_USER": "lab",
             "KBUILD_BUILD_HOST": "lab"}  # fmt: skip
    run([*make, "tinyconfig"], log)
    with (tree / ".config").open("a") as dot_config:
        dot_config.write(config.read_text())
    run([*make, "olddefconfig"], log)
    run([*make, "vmlinux"], log, env=fixed)
    kernel = folder / "vmlinux"
    run(["strip", "-s", "-o", str(kernel), str(tree / "vmlinux")], log)
    (folder / "vmlinux-deaf").write_bytes(deaf(kernel.read_bytes()))
    run(["rm", "-rf", str(tree)], log)


def build_guest_init(source: Path, program: Path, log: Path) -> None:
    """The guests' only program, static."""
    find("gcc")
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s"]
    run(["gcc", *flags, "-o", str(program), str(source)], log)
