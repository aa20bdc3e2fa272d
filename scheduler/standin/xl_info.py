"""`xl info` and `xl dmesg`."""

from __future__ import annotations

from scheduler.standin.dom0 import Dom0, say
from scheduler.standin.lifecycle import free_kib
from scheduler.standin.root import write_uptime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import State


def info(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    write_uptime(dom0.world, dom0.host, state)
    lines = [f"{key:<23}: {value}" for key, value in _fields(state)]
    if options.get("n"):
        where = next(i for i, line in enumerate(lines) if line.startswith("xen_major"))
        lines[where:where] = _numa(state)
    elif rest:
        # xl compares the wish with the beginning of the whole line: "xen" gives many values.
        lines = [line.partition(":")[2][1:] for line in lines if line.startswith(rest[0])]
    say("".join(line + "\n" for line in lines))
    return 0


def _fields(state: State) -> list[tuple[str, object]]:
    xen = state["xen"]
    memory = {
        "total_memory": state["total_kib"] // 1024,
        "free_memory": free_kib(state) // 1024,
        "sharing_freed_memory": 0,
        "sharing_used_memory": 0,
        "outstanding_claims": 0,
        "free_cpus": 0,
    }
    version = {
        "xen_major": xen["major"],
        "xen_minor": xen["minor"],
        "xen_extra": xen["extra"],
        "xen_version": f"{xen['major']}.{xen['minor']}{xen['extra']}",
        "xen_caps": xen["caps"],
        "xen_scheduler": "credit2",
        "xen_pagesize": 4096,
        "platform_params": "virt_start=0xffff800000000000",
        "xen_changeset": xen["changeset"],
        "xen_commandline": xen["commandline"],
        "cc_compiler": xen["compiler"],
        "cc_compile_by": xen["compile_by"],
        "cc_compile_domain": xen["compile_domain"],
        "cc_compile_date": xen["compile_date"],
        "build_id": xen["build_id"],
        "xend_config_format": 4,
    }
    # xl says nothing of microcode: an agent reads it in dom0's /proc/cpuinfo.
    cpu = {name: fact for name, fact in state["cpu"].items() if not name.startswith("microcode")}
    everything = {"host": state["host"], **state["uname"], **cpu, **memory, **version}
    return list(everything.items())


def _numa(state: State) -> list[str]:
    # The recorded host (one CPU) shows no row of its topology; hosts of several CPUs do.
    cpus = state["cpu"]["nr_cpus"] if state["cpu"]["nr_cpus"] > 1 else 0
    cores, threads = state["cpu"]["cores_per_socket"], state["cpu"]["threads_per_core"]
    rows = [
        f"{i:3d}:    {i // threads % cores:4d}     {i // (threads * cores):4d}     {0:4d}"
        for i in range(cpus)
    ]
    total, free = state["total_kib"] // 1024, free_kib(state) // 1024
    return [
        "cpu_topology           :",
        "cpu:    core    socket     node",
        *rows,
        "device topology        :",
        "device           node",
        "No device topology data available",
        "numa_info              :",
        "node:    memsize    memfree    distances",
        f"{0:4d}:    {total:6d}     {free:6d}      10",
    ]


def dmesg(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """The head of the hypervisor's log, and what its domains left in it."""
    state = dom0.state()
    xen = state["xen"]
    head = [
        f"Xen version {xen['major']}.{xen['minor']}{xen['extra']} ({xen['package']})"
        f" ({xen['compile_by']}@{xen['compile_domain']}) ({xen['compiler']}) debug=n"
        f" {xen['compile_date']}",
        *([f"Latest ChangeSet: {xen['changeset']}"] if xen["changeset"] else []),
        f"build-id: {xen['build_id']}",
        "Bootloader: qemu",
        f"Command line: {xen['commandline']}",
    ]
    say("".join(f"(XEN) {line}\n" for line in [*head, *state["dmesg"]]))
    if options.get("c"):
        with dom0.change() as change:
            change.state["dmesg"] = []
    return 0
