"""Small file systems in memory: a dom0's first seconds, and a guest's whole userland."""

import shutil
from pathlib import Path

from deploy.lab.layout import FILES
from deploy.lab.tools import find, output, run

# What it takes to mount the host's disk.
DISK_MODULES = ("virtio_pci", "virtio_blk", "crc32c-intel", "crc32c_generic", "ext4")


def pack(folder: Path, archive: Path, log: Path) -> None:
    """folder as a gzipped cpio archive, as the kernel unpacks it."""
    find("cpio")
    script = f"find . -print0 | cpio --null -o -H newc --quiet -R 0:0 | gzip -6 > {archive}"
    run(["sh", "-c", script], log, cwd=folder)


def module_files(modules: Path, version: str, names: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of what they need, in the order in which to load them."""
    found: dict[Path, None] = {}
    for name in names:
        lines = output(["modprobe", "-d", str(modules), "-S", version, "--show-depends", name])
        for line in lines.splitlines():
            if line.startswith("insmod "):
                found[Path(line.split()[1])] = None
    return list(found)


def dom0_initramfs(
    archive: Path, work: Path, busybox: Path, modules: Path, version: str, log: Path
) -> None:
    for folder in ("bin", "modules"):
        (work / folder).mkdir(parents=True)
    shutil.copy(busybox, work / "bin/busybox")
    shutil.copy(FILES / "dom0-initramfs-init", work / "init")
    files = module_files(modules, version, DISK_MODULES)
    for file in files:
        shutil.copy(file, work / "modules")
    (work / "modules.list").write_text("".join(f"{file.name}\n" for file in files))
    pack(work, archive, log)


def guest_initramfs(archive: Path, work: Path, init: Path, log: Path) -> None:
    (work / "sbin").mkdir(parents=True)
    shutil.copy(init, work / "init")
    for name in ("poweroff", "reboot"):
        (work / "sbin" / name).symlink_to("/init")
    pack(work, archive, log)
