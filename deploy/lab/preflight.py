"""What a machine must have to run the lab, looked at before anything is started."""

import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.layout import Host, Layout
from deploy.lab.qemu import Size
from deploy.lab.tools import find

PROGRAMS = (
    "qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "cpio", "modprobe", "depmod", "dpkg-deb",
    "apt-get", "ssh", "ssh-keygen", "socat", "gcc", "make", "flex", "bison", "bc", "strip", "xz",
    "chroot",
)  # fmt: skip
# A host of 1,280 MiB was seen to hold at most 90 % of that, and QEMU some 60 MiB for itself.
EXTRA_MIB = 60
CACHE_GIB = 3
DISK_GIB_PER_HOST = 1


def check(layout: Layout, hosts: Sequence[Host], size: Size) -> None:
    """Raises LabError that names the first thing missing."""
    if os.geteuid() != 0:
        raise LabError("the lab builds its images as root (mmdebstrap, chroot); run it as root")
    for program in PROGRAMS:
        find(program)
    _check_memory(len(hosts) * (size.memory_mib + EXTRA_MIB))
    _check_disk(layout.root, CACHE_GIB + DISK_GIB_PER_HOST * len(hosts))


def check_ports(layout: Layout, hosts: Sequence[Host], *, with_hub: bool) -> None:
    """Raises LabError that names a port which somebody else has."""
    tcp = [host.ssh_port for host in hosts]
    udp = [host.wire_port for host in hosts]
    if with_hub:
        tcp += [host.relay_port for host in layout.hosts]
        udp.append(layout.hub_port)
    _check_free(tcp, socket.SOCK_STREAM, "TCP")
    _check_free(udp, socket.SOCK_DGRAM, "UDP")


def _check_free(ports: Iterable[int], kind: socket.SocketKind, name: str) -> None:
    for port in ports:
        with socket.socket(socket.AF_INET, kind) as plug:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                plug.bind(("127.0.0.1", port))
            except OSError as problem:
                raise LabError(
                    f"{name} port {port} on 127.0.0.1 is in use; end what uses it or set "
                    "XENROLL_LAB_PORT to another base"
                ) from problem


def _check_memory(needed_mib: int) -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free_mib = int(lines["MemAvailable"].split()[0]) // 1024
    if free_mib < needed_mib:
        raise LabError(f"{free_mib} MiB of memory are free; these hosts need {needed_mib} MiB")


def _check_disk(root: Path, needed_gib: int) -> None:
    root.mkdir(parents=True, exist_ok=True)
    free_gib = shutil.disk_usage(root).free >> 30
    if free_gib < needed_gib:
        raise LabError(f"{free_gib} GiB are free in {root}; the lab needs {needed_gib} GiB")
