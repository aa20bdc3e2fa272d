"""Build a simulated fleet: `create_world`, `HostSpec`, `GuestSpec`, `XenBuild`."""

from __future__ import annotations

import os
import sys
import time
import uuid as uuids
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scheduler.standin import lifecycle, san
from scheduler.standin.guest_config import GuestSpec, guest_config, xl_cfg
from scheduler.standin.install import install
from scheduler.standin.kernel_file import bzimage
from scheduler.standin.microjson import dumps
from scheduler.standin.store import Change, World, replace_file

XEN_OWN_KIB = 24 * 1024
__all__ = ["GuestSpec", "HostSpec", "XenBuild", "add_guest", "create_world", "xen_build"]
_CAPS = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "


@dataclass(frozen=True)
class XenBuild:
    """One build of the hypervisor, as `xl info` shows it; `build_id` is what tells builds apart."""

    major: int = 4
    minor: int = 17
    extra: str = ".7"
    build_id: str = "151b373fd64b321593bf987fd923cd10dabadac4"
    changeset: str = ""
    caps: str = _CAPS
    commandline: str = "dom0_mem=1024M,max:1024M dom0_max_vcpus=1 loglvl=info guest_loglvl=info"
    compiler: str = "x86_64-linux-gnu-gcc (Debian 12.2.0-14+deb12u1) 12.2.0"
    compile_by: str = "pkg-xen-devel"
    compile_domain: str = "lists.alioth.debian.org"
    compile_date: str = "Wed Nov  4 16:52:28 UTC 2026"
    package: str = "Debian 4.17.7+13-g2445b30a44-0+deb12u1"


def xen_build(version: str, build_id: str | None = None) -> XenBuild:
    """A build of `"major.minor"`; without a build id one is derived from the version."""
    major, minor = (int(part) for part in version.split(".")[:2])
    derived = uuids.uuid5(uuids.NAMESPACE_DNS, f"xen-{version}").hex + "00000000"
    package = f"Debian {major}.{minor}.7+1-0"
    return XenBuild(major=major, minor=minor, build_id=build_id or derived, package=package)


@dataclass(frozen=True)
class HostSpec:
    """One host.  `memory_mib` is what guests can have when it is empty."""

    name: str
    memory_mib: int
    cpus: int = 8
    xen: XenBuild = field(default_factory=XenBuild)
    xen_after_reboot: XenBuild | None = None
    dom0_mib: int = 1024
    bridges: tuple[str, ...] = ("xenbr0",)
    storage: tuple[str, ...] | None = None
    """Beginnings of the disk paths it can see; None: it sees every disk."""
    cpu_tags: tuple[str, ...] = ()
    virt_caps: str = "pv hvm hap shadow gnttab-v1 gnttab-v2"
    """Without `shadow`, PV guests cannot be migrated away (as with Debian's own build)."""
    address: str | None = None
    microcode: str = "0x5003604"
    microcode_after_reboot: str | None = None


def create_world(
    world_dir: str,
    hosts: Sequence[HostSpec],
    guests: Iterable[GuestSpec] = (),
    *,
    speed: float = 1.0,
    now_s: float | None = None,
    python: str = sys.executable,
    **settings: float,
) -> World:
    """Write a new world; each host's launchers are in `world_dir/hosts/NAME/bin`.

    `speed`: simulated seconds per real second.  `now_s`: the simulated Unix time it starts at.
    `settings`: durations in simulated seconds and rates, see `SETTINGS`.
    Raises FileExistsError where there is a world already, ValueError on a guest without a host.
    """
    os.makedirs(f"{world_dir}/hosts")
    world_dir = os.path.abspath(world_dir)
    if unknown := set(settings) - set(SETTINGS):
        raise ValueError(f"unknown setting of a world: {', '.join(sorted(unknown))}")
    start = time.time() if now_s is None else now_s
    addresses = {h.address.lower(): h.name for h in hosts if h.address}
    clock = {"speed": speed, "epoch_real_s": time.time(), "epoch_sim_s": start, "frozen_at": None}
    text = dumps({**SETTINGS, **settings, **clock, "addresses": addresses})
    replace_file(f"{world_dir}/world.json", text)
    world = World(world_dir)
    for host in hosts:
        _write_host(world, host, start, python)
    made = list(guests)
    for guest in made:
        _put_guest(world, guest)
    san.attach(world, [path for guest in made for path in guest.disks])
    return world


# How long things take (simulated seconds) and how fast memory is copied.
SETTINGS: dict[str, float] = {
    "move_setup_s": 4.0,
    "stream_mbps": 4000.0,
    "dirty_factor": 1.15,
    "downtime_s": 0.5,
    "ssh_connect_s": 0.3,
    "suspend_ack_timeout_s": 60.0,
    "guest_start_s": 2.0,
    "guest_stop_s": 8.0,
    "client_alive_s": 0.0,
}


def _write_host(world: World, spec: HostSpec, now: float, python: str) -> None:
    folder = world.host_dir(spec.name)
    os.makedirs(f"{folder}/run")
    pending = spec.xen_after_reboot
    state: dict[str, Any] = {
        "host": spec.name,
        "power": "on",
        "generation": 1,
        "seq": 0,
        "outbox": [],
        "events": [],
        "booted_at": now,
        "boot_id": str(uuids.uuid4()),
        "uname": dict(_UNAME),
        "cpu": _cpu(spec),
        "total_kib": (spec.memory_mib + spec.dom0_mib) * 1024 + XEN_OWN_KIB,
        "xen_own_kib": XEN_OWN_KIB,
        "dom0_kib": spec.dom0_mib * 1024,
        "xen": asdict(spec.xen),
        "xen_after_reboot": asdict(pending) if pending else None,
        "livepatches": [],
        "dmesg": [],
        "next_domid": 1,
        "cpupools": [{"name": "Pool-0", "cpus": list(range(spec.cpus))}],
        "bridges": list(spec.bridges),
        "storage": None if spec.storage is None else list(spec.storage),
        "cpu_tags": list(spec.cpu_tags),
        "units": {"xendomains.service": "enabled"},
        "domains": [domain_0(spec.dom0_mib * 1024, now)],
    }
    replace_file(f"{folder}/state.json", dumps(state))
    from scheduler.standin.root import write_root

    write_root(world, spec.name, state)
    install(f"{folder}/bin", world.path, spec.name, python)


_UNAME = {
    "release": "6.1.0-56-amd64",
    "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)",
    "machine": "x86_64",
}


def _cpu(spec: HostSpec) -> dict[str, object]:
    return {
        "nr_cpus": spec.cpus,
        "max_cpu_id": spec.cpus - 1,
        "nr_nodes": 1,
        "cores_per_socket": spec.cpus,
        "threads_per_core": 1,
        "cpu_mhz": "2445.426",
        "hw_caps": "078bf3fd:c0982201:20100800:00000005:00000000:00000000:00000000:00000000",
        "virt_caps": spec.virt_caps,
        "microcode": spec.microcode,
        "microcode_after_reboot": spec.microcode_after_reboot,
    }


def domain_0(memory_kib: int, now: float) -> dict[str, Any]:
    """Domain-0 as it is after a boot."""
    params = {"sched": "credit2", "weight": 256, "cap": 0}
    config: dict[str, Any] = {
        "c_info": {"type": "pv", "name": "Domain-0"},
        "b_info": {
            "max_memkb": memory_kib,
            "target_memkb": memory_kib - 1,
            "sched_params": params,
            "type.pv": {},
            "arch_arm": {},
            "arch_x86": {},
        },
    }
    state: dict[str, Any] = {"domains": [], "next_domid": 0}
    domain = lifecycle.new_domain(state, config, "Domain-0", now, domid=0)
    domain.update(mem_kib=memory_kib, cpu_rate=0.3)
    lifecycle.unpause(domain, now)
    return domain


def _install_kernel(world: World, kernel: str, image: bytes) -> None:
    """A fleet has the same kernels in every dom0."""
    for host in world.hosts():
        path = f"{world.host_dir(host)}/root{kernel}"
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(image)


def add_guest(world: World, spec: GuestSpec) -> int:
    """Put a running guest on its host, with its disks; its domid.

    Its xl.cfg is written to `/etc/xen` there.
    """
    domid = _put_guest(world, spec)
    san.attach(world, spec.disks)
    return domid


def _put_guest(world: World, spec: GuestSpec) -> int:
    if spec.host not in world.hosts():
        raise ValueError(f"guest {spec.name}: no host {spec.host!r} in this world")
    spec = replace(spec, uuid=spec.uuid or str(uuids.uuid5(uuids.NAMESPACE_DNS, spec.name)))
    root = f"{world.host_dir(spec.host)}/root"
    replace_file(f"{root}/etc/xen/{spec.name}.cfg", xl_cfg(spec))
    if spec.kernel_release and spec.kind != "hvm":
        _install_kernel(world, spec.kernel, bzimage(spec.kernel_release, spec.kernel_arch))
    if spec.autostart:
        os.symlink(f"../{spec.name}.cfg", f"{root}/etc/xen/auto/{spec.name}.cfg")
    with Change(world, spec.host) as change:
        domain = lifecycle.new_domain(change.state, guest_config(spec), spec.name, change.now)
        domain["mem_kib"] = spec.memory_mib * 1024
        domain["overhead_kib"] = spec.overhead_mib * 1024
        domain["cpu_needs"] = list(spec.cpu_needs)
        domain["paused"] = spec.paused
        domain["xs"] = dict(spec.xenstore)
        lifecycle.touch(domain, change.now)
        change.note("created", domid=domain["domid"], uuid=domain["uuid"], name=spec.name)
    return int(domain["domid"])
