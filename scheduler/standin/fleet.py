"""A world made from a fleet document (`xenroll.fleet/1`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

from scheduler.standin.guest_config import GuestSpec
from scheduler.standin.store import World
from scheduler.standin.world import HostSpec, create_world, xen_build

OLD_BUILD_ID = "151b373fd64b321593bf987fd923cd10dabadac4"
FIXED_BUILD_ID = "7f1c0a5be2d94836a1c5e0934bd27c68f30d9e12"
KINDS = ("pv", "pvh", "hvm")
_VIRT = {"pv": "pv", "hvm": "hvm hap", "pvh": "hvm hap"}


def world_from_fleet(
    world_dir: str,
    fleet: Mapping[str, Any],
    *,
    speed: float = 1.0,
    build_id: str = OLD_BUILD_ID,
    fixed_build_id: str = FIXED_BUILD_ID,
    autostart: Collection[str] = (),
    python: str = sys.executable,
) -> World:
    """Write a world that looks as the fleet document says.

    Every host runs `build_id`; those with `reboot` come back from a reboot with `fixed_build_id`
    (and `policy.xen_after`, if set).  Guests named in `autostart` have a link in /etc/xen/auto.
    The document must be valid: it is the planner's to refuse a broken one.
    """
    policy = fleet.get("policy", {})
    settings = {
        key: float(policy[key])
        for key in ("move_setup_s", "stream_mbps", "dirty_factor")
        if key in policy
    }
    if "start_s" in policy:
        settings["guest_start_s"] = float(policy["start_s"]) / 2
    if "stop_s" in policy:
        settings["guest_stop_s"] = float(policy["stop_s"]) / 2
    hosts = [_host(h, policy, build_id, fixed_build_id) for h in fleet["hosts"]]
    bridges = {h.name: h.bridges for h in hosts}
    guests = [_guest(g, bridges[g["host"]], g["name"] in autostart) for g in fleet["guests"]]
    return create_world(world_dir, hosts, guests, speed=speed, python=python, **settings)


def _tags(tags: Collection[str], kind: str) -> tuple[str, ...]:
    return tuple(tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:"))


def _host(host: Mapping[str, Any], policy: Mapping[str, Any], old: str, fixed: str) -> HostSpec:
    offers = host.get("offers", [])
    storage = _tags(offers, "storage")
    kinds = [tag for tag in offers if tag in KINDS] or list(KINDS)
    virt = dict.fromkeys(" ".join(_VIRT[kind] for kind in kinds).split())
    if "pv" in virt:
        virt["shadow"] = None
    after = xen_build(policy.get("xen_after") or host["xen"], fixed)
    return HostSpec(
        name=host["name"],
        memory_mib=int(host["memory_mib"]),
        cpus=max(1, int(host["cpus"])),
        xen=xen_build(host["xen"], old),
        xen_after_reboot=after if host.get("reboot") else None,
        bridges=_tags(offers, "bridge") or ("xenbr0",),
        storage=tuple(f"/dev/{name}/" for name in storage) if storage else None,
        cpu_tags=_tags(offers, "cpu"),
        virt_caps=" ".join([*virt, "gnttab-v1", "gnttab-v2"]),
    )


def _guest(guest: Mapping[str, Any], bridges: tuple[str, ...], autostart: bool) -> GuestSpec:
    needs = guest.get("needs", [])
    kind = next((word for word in (guest.get("class") or "").split() if word in KINDS), None)
    kind = kind or next((need for need in needs if need in KINDS), "pvh")
    # A guest that has to be restarted has a passed-through device: no hypervisor migrates it.
    passed_through = guest.get("evacuation") == "restart"
    return GuestSpec(
        name=guest["name"],
        host=guest["host"],
        memory_mib=int(guest["memory_mib"]),
        vcpus=int(guest["vcpus"]),
        kind=kind,
        uuid=guest.get("uuid"),
        overhead_mib=int(guest.get("overhead_mib", 0)),
        bridges=_tags(needs, "bridge") or bridges[:1],
        disks=tuple(f"/dev/{name}/{guest['name']}" for name in _tags(needs, "storage")),
        pci=("0000:03:00.0",) if passed_through else (),
        cpu_needs=_tags(needs, "cpu"),
        nomigrate=guest.get("evacuation") == "hold",
        autostart=autostart,
        kernel=f"/srv/{_kernel(guest)}",
        kernel_release=_release(guest),
        kernel_arch="i386" if "i386" in (guest.get("class") or "").split() else "x86_64",
    )


def _kernel(guest: Mapping[str, Any]) -> str:
    """The kernel's name from a class such as `pvh linux-6.1 x86_64`."""
    words = [word for word in (guest.get("class") or "").split() if word not in KINDS]
    return words[0] if words else "vmlinux"


def _release(guest: Mapping[str, Any]) -> str | None:
    """`6.1.0` of a class that names a kernel `linux-6.1`; None where it names none."""
    found = re.search(r"[0-9]+[.][0-9]+", _kernel(guest))
    return f"{found.group()}.0" if found else None
