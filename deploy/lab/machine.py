"""Switching the hosts on and off, and the wire between them."""

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.lab import preflight, processes, qemu
from deploy.lab.errors import LabError
from deploy.lab.images import Images
from deploy.lab.layout import (
    FOLDER_VARIABLE,
    PORT_VARIABLE,
    PROJECT,
    SHARED_DISK_MIB,
    SHARED_DISKS,
    Host,
    Layout,
)
from deploy.lab.remote import disconnect
from deploy.lab.tools import Say, find, last, run, tail

READY = "LAB-READY"
FAILED = "LAB-FAILED"
# 25 s on a quiet machine; 230 s were seen on one with a load of 13.
BOOT_TIMEOUT_S = 480.0
HUB_TIMEOUT_S = 20.0


def hub_is_on(layout: Layout) -> bool:
    return processes.running(layout.hub_pid_file) is not None


def start_hub(layout: Layout, redis_port: int) -> None:
    """Starts the hub, if it does not run; healed and without delay."""
    if hub_is_on(layout):
        return
    layout.run.mkdir(parents=True, exist_ok=True)
    layout.hub_socket.unlink(missing_ok=True)
    os.environ.update({FOLDER_VARIABLE: str(layout.root), PORT_VARIABLE: str(layout.base_port)})
    command = [sys.executable, "-m", "deploy.lab.hub", str(redis_port)]
    log = layout.run / "hub.log"
    processes.start(command, layout.hub_pid_file, log, cwd=PROJECT)
    deadline = time.monotonic() + HUB_TIMEOUT_S
    while not layout.hub_socket.exists():
        if processes.running(layout.hub_pid_file) is None or time.monotonic() > deadline:
            raise LabError("the hub between the hosts does not start", tail(log))
        time.sleep(0.05)


def order_hub(layout: Layout, **order: Any) -> dict[str, Any]:
    """One order to the hub; its status afterwards."""
    with socket.socket(socket.AF_UNIX) as plug:
        try:
            plug.connect(str(layout.hub_socket))
        except OSError as problem:
            raise LabError("the lab is not up: its hub does not answer") from problem
        with plug.makefile("rw") as lines:
            lines.write(json.dumps(order) + "\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
    if "error" in answer:
        raise LabError(str(answer["error"]))
    return answer


def fresh_disks(layout: Layout, hosts: Sequence[Host], images: Images) -> None:
    """Every host's disk as it was built; shared disks empty unless a running host uses them."""
    for host in hosts:
        host.folder.mkdir(parents=True, exist_ok=True)
        copy = ["cp", "--sparse=always", "--reflink=auto", str(images.disk), str(host.disk)]
        run(copy, host.folder / "copy.log")
        host.xen.unlink(missing_ok=True)
    if any(is_on(host) for host in layout.hosts):
        return
    for number in range(1, SHARED_DISKS + 1):
        with layout.shared_disk(number).open("wb") as disk:
            disk.truncate(SHARED_DISK_MIB << 20)


def is_on(host: Host) -> bool:
    """Whether its QEMU runs; the host may still be booting."""
    return processes.running(host.pid_file) is not None


def switch_on(layout: Layout, host: Host, images: Images, size: qemu.Size) -> None:
    """Starts QEMU on the disk that is there."""
    preflight.check_ports(layout, [host], with_hub=False)
    if not host.disk.exists():
        raise LabError(f"{host.name} has no disk; `lab up` makes one")
    log = host.folder / "qemu.log"
    for said_before in (host.console, log):
        said_before.write_bytes(b"")
    host.qmp_socket.unlink(missing_ok=True)
    if host.xen.exists():
        images = replace(images, xen=host.xen.resolve())
    command = qemu.argv(layout, host, images, size)
    command[0] = find(command[0])
    processes.start(command, host.pid_file, log)


def install_xen(host: Host, xen: Path) -> None:
    """From its next start of QEMU on, the host boots this hypervisor."""
    fresh = host.folder / "xen.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(xen)
    fresh.replace(host.xen)


def went_off(host: Host) -> bool:
    """Whether the host switched itself off: its QEMU ended, and nobody here ended it."""
    return host.pid_file.exists() and not is_on(host)


def switch_off(host: Host) -> bool:
    """Pulls the plug: nothing in the host is told. False where it was off already."""
    disconnect(host)
    return processes.end(host.pid_file, at_once=True)


def boots(host: Host) -> int:
    """How often the host became ready since it was switched on."""
    if not host.console.exists():
        return 0
    return host.console.read_bytes().count(f"{READY} {host.name}".encode())


def wait_ready(hosts: Sequence[Host], say: Say, *, boots_wanted: int = 1) -> None:
    """Waits for the hosts; raises LabError with the console's end when one does not come up."""
    started = time.monotonic()
    waiting = list(hosts)
    while waiting:
        for host in list(waiting):
            if boots(host) >= boots_wanted:
                waiting.remove(host)
                say(f"{host.name} is ready after {time.monotonic() - started:.0f} s")
            else:
                _check_boots(host, time.monotonic() - started)
        time.sleep(0.2)


def _check_boots(host: Host, waited_s: float) -> None:
    if not is_on(host):
        raise LabError(f"{host.name} ended while it booted", _why(host))
    before, failed, after = host.console.read_text(errors="replace").partition(FAILED)
    if failed and "\n" in after:
        raise LabError(f"{host.name} did not boot: {after.splitlines()[0].strip()}", last(before))
    if waited_s > BOOT_TIMEOUT_S:
        raise LabError(f"{host.name} is not ready after {BOOT_TIMEOUT_S:.0f} s", _why(host))


def _why(host: Host) -> str:
    return "\n".join(filter(None, [tail(host.folder / "qemu.log", 5), tail(host.console)]))


def stop_all(layout: Layout) -> list[str]:
    """Ends everything that this lab started; names what was running."""
    ended = [host.name for host in layout.hosts if switch_off(host)]
    if processes.end(layout.hub_pid_file):
        ended.append("hub")
    layout.hub_socket.unlink(missing_ok=True)
    return ended
