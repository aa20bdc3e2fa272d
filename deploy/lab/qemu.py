"""How QEMU is told to be a Xen host, and how it is spoken to while it runs."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.lab.errors import LabError
from deploy.lab.images import Images
from deploy.lab.layout import REDIS_ADDRESS, REDIS_PORT, SHARED_DISKS, Host, Layout

# Chosen by trial: "max" kills dom0 (SMAP) and guests (RDTSCP) under TCG. AES is for ssh's sake.
CPU = "qemu64,+svm,+npt,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq"
QMP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Size:
    """How big a host is; the rest of its memory is for guests and Xen itself (about 100 MiB)."""

    memory_mib: int = 1280
    dom0_mib: int = 512
    cpus: int = 1


def argv(layout: Layout, host: Host, images: Images, size: Size) -> list[str]:
    """The command line of one host."""
    return [
        "qemu-system-x86_64", "-name", host.name,
        "-accel", "tcg,thread=multi,tb-size=256", "-cpu", CPU, "-smp", str(size.cpus),
        "-m", str(size.memory_mib), "-machine", "pc",
        "-nodefaults", "-no-user-config", "-display", "none",
        *_boot(host, images, size),
        "-chardev", f"file,id=serial,path={host.console},append=on", "-serial", "chardev:serial",
        "-qmp", f"unix:{host.qmp_socket},server=on,wait=off",
        *_disks(layout, host),
        *_network(layout, host),
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def _boot(host: Host, images: Images, size: Size) -> list[str]:
    dom0 = f"console=hvc0 quiet lab.host={host.name} lab.address={host.address}"
    # Without bootscrub=0 the hypervisor touches all memory, and QEMU really uses it.
    xen = (
        f"dom0_mem={size.dom0_mib}M,max:{size.dom0_mib}M dom0_max_vcpus=1 bootscrub=0 "
        "console=com1 com1=115200,8n1 loglvl=info guest_loglvl=info"
    )
    modules = f"{images.dom0_kernel} {dom0},{images.dom0_initramfs}"
    return ["-kernel", str(images.xen), "-append", xen, "-initrd", modules]


def _disks(layout: Layout, host: Host) -> list[str]:
    """The host's own disk, then those that all hosts share (vdb, vdc, ...)."""
    words = ["-drive", f"file={host.disk},format=raw,if=none,id=own,cache=unsafe",
             "-device", "virtio-blk-pci,drive=own"]  # fmt: skip
    for number in range(1, SHARED_DISKS + 1):
        drive = f"file={layout.shared_disk(number)},format=raw,if=none,id=shared{number}"
        words += ["-drive", f"{drive},cache=none,file.locking=off",
                  "-device", f"virtio-blk-pci,drive=shared{number},share-rw=on"]  # fmt: skip
    return words


def _network(layout: Layout, host: Host) -> list[str]:
    """eth0: ssh in, Redis out, nothing else (restrict=on). eth1: the wire, through the hub."""
    redis = f"tcp:{REDIS_ADDRESS}:{REDIS_PORT}-cmd:socat - TCP4:127.0.0.1:{host.relay_port}"
    user = f"user,id=outside,restrict=on,hostfwd=tcp:127.0.0.1:{host.ssh_port}-:22,guestfwd={redis}"
    wire = (
        "dgram,id=wire,local.type=inet,remote.type=inet,"
        f"local.host=127.0.0.1,local.port={host.wire_port},"
        f"remote.host=127.0.0.1,remote.port={layout.hub_port}"
    )
    mac = "52:54:00:00:{net:02x}:{host:02x}"
    return [
        "-netdev", user,
        "-device", f"virtio-net-pci,netdev=outside,mac={mac.format(net=0, host=host.number)}",
        "-netdev", wire,
        "-device", f"virtio-net-pci,netdev=wire,mac={mac.format(net=1, host=host.number)}",
    ]  # fmt: skip


def order(qmp_socket: Path, command: str, **arguments: Any) -> Any:
    """One QMP command's answer; raises LabError when QEMU refuses or does not answer."""
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(QMP_TIMEOUT_S)
        try:
            plug.connect(str(qmp_socket))
            with plug.makefile("rw") as lines:
                lines.readline()
                _exchange(lines, {"execute": "qmp_capabilities"})
                return _exchange(lines, {"execute": command, "arguments": arguments})
        except OSError as problem:
            raise LabError(f"QEMU does not answer on {qmp_socket}: {problem}") from problem


def _exchange(lines: Any, request: dict[str, Any]) -> Any:
    lines.write(json.dumps(request) + "\n")
    lines.flush()
    while True:
        line = lines.readline()
        if not line:
            raise LabError(f"QEMU closed the connection during {request['execute']}")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(f"QEMU refuses {request['execute']}: {reply['error']['desc']}")
        if "return" in reply:  # events come in between
            return reply["return"]
