"""The few files of a host's `/` that agents read, below `hosts/NAME/root`."""

from __future__ import annotations

import os

from scheduler.standin.store import World, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scheduler.standin.store import State

_FOLDERS = (
    "etc/xen/auto",
    "etc/systemd/system",
    "etc/default",
    "var/lib/xen/save",
    "var/log/xen",
    "proc/sys/kernel/random",
    "sys/hypervisor/version",
    "sys/hypervisor/compilation",
    "sys/hypervisor/properties",
    "sys/class/net",
)


def write_root(world: World, host: str, state: State) -> None:
    """Bring the host's files in line with its state; to be called after each boot."""
    root = f"{world.host_dir(host)}/root"
    for folder in _FOLDERS:
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    for bridge in state["bridges"]:
        os.makedirs(f"{root}/sys/class/net/{bridge}/bridge", exist_ok=True)
    xen = state["xen"]
    files = {
        "proc/sys/kernel/random/boot_id": state["boot_id"],
        "proc/stat": f"btime {int(state['booted_at'])}",
        "sys/hypervisor/type": "xen",
        "sys/hypervisor/uuid": "00000000-0000-0000-0000-000000000000",
        "sys/hypervisor/version/major": xen["major"],
        "sys/hypervisor/version/minor": xen["minor"],
        "sys/hypervisor/version/extra": xen["extra"],
        "sys/hypervisor/compilation/compile_date": xen["compile_date"],
        "sys/hypervisor/properties/capabilities": xen["caps"],
    }
    for path, value in files.items():
        replace_file(f"{root}/{path}", f"{value}\n")
    write_uptime(world, host, state)


def write_uptime(world: World, host: str, state: State) -> None:
    """`/proc/uptime` cannot count by itself: it is as old as the last `xl info` or `xl uptime`."""
    up = max(0.0, world.now() - state["booted_at"])
    root = f"{world.host_dir(host)}/root"
    replace_file(f"{root}/proc/uptime", f"{up:.2f} {up * 0.6:.2f}\n")
