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
    for bridge in state.get("lost_bridges", ()):
        _take_away(f"{root}/sys/class/net/{bridge}")
    xen = state["xen"]
    files = {
        "proc/sys/kernel/random/boot_id": state["boot_id"],
        "proc/cpuinfo": _cpuinfo(state),
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


def _take_away(bridge: str) -> None:
    if os.path.isdir(bridge):
        os.rmdir(f"{bridge}/bridge")
        os.rmdir(bridge)


def _cpuinfo(state: State) -> str:
    """The lines that tell the CPU, for each of its threads."""
    cpu = state["cpu"]
    lines = (
        "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n"
        "model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\nstepping\t: 7\n"
        f"microcode\t: {cpu.get('microcode', '0x5003604')}\n"
    )
    return "\n".join(f"processor\t: {n}\n{lines}" for n in range(cpu["nr_cpus"]))


def write_uptime(world: World, host: str, state: State) -> None:
    """`/proc/uptime` cannot count by itself: it is as old as the last `xl info` or `xl uptime`."""
    up = max(0.0, world.now() - state["booted_at"])
    root = f"{world.host_dir(host)}/root"
    replace_file(f"{root}/proc/uptime", f"{up:.2f} {up * 0.6:.2f}\n")
