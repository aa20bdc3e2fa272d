"""What the configuration of a guest (`xl list -l`) says of moving it. Pure.

Fields at their default are not in the JSON; switches are the texts "True" and "False".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any, Literal, cast

from agents.copies import Condition, condition
from agents.settings import Settings
from agents.wire import Domain, GuestSeen, Obstacle, ObstacleCode
from agents.wire_disk import Disk

Config = dict[str, Any]

KIB = 1024
SHADOW_CAPS_SINCE = (4, 13)
"""From this release on `virt_caps` says `shadow` where shadow paging is compiled in."""

BALLOON_SLACK_MIB = 1
"""libxl lets a guest hold 1024 KiB more than its target (libxl_dom.c)."""

DEFAULT_POOL = "Pool-0"
"""The CPU pool that every host has."""

HOST_DEVICES = {
    "usbdevs": "a USB device of the host",
    "usbctrls": "a USB controller",
    "rdms": "reserved device memory",
    "dtdevs": "a device-tree device",
    "p9s": "a 9pfs share of the host",
    "pvcallsifs": "a PV calls interface",
    "vdispls": "a virtual display",
    "vsnds": "a virtual sound card",
    "channels": "a channel to the host",
}


def guest_type(config: Config) -> Literal["pv", "hvm", "pvh"]:
    """How it is virtualised; xl leaves no guest without it."""
    kind = config["c_info"].get("type")
    return cast(Literal["pv", "hvm", "pvh"], kind) if kind in ("pv", "hvm", "pvh") else "hvm"


def _union(config: Config) -> Config:
    found = config["b_info"].get(f"type.{guest_type(config)}")
    return found if isinstance(found, dict) else {}


def _list(config: Config, key: str) -> list[Config]:
    found = config.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _number(config: Config, key: str, otherwise: int = 0) -> int:
    found = config["b_info"].get(key)
    return found if isinstance(found, int) and found > 0 else otherwise


def _true(value: object) -> bool:
    return value in ("True", True)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit)


def memory_mib(config: Config, domain: Domain) -> int:
    """What a migration copies: its target, or what it holds if that is more."""
    return max(_round_up(_number(config, "target_memkb"), KIB), domain.memory_mib)


def shadow_kib(config: Config) -> int:
    """As configured, or libxl's default: 4 KiB times (256 for each vCPU + k for each MiB).

    k is 2 for shadow paging of an HVM guest, else 1 (libxl_utils.c).
    """
    set_kib = _number(config, "shadow_memkb")
    if set_kib:
        return set_kib
    hap = config["c_info"].get("hap")
    k = 2 if guest_type(config) != "pv" and hap in ("False", False) else 1
    memory = _round_up(_number(config, "max_memkb"), KIB)
    return 4 * (256 * _number(config, "max_vcpus", 1) + k * memory)


def overhead_mib(config: Config) -> int:
    """What the guest takes on a host beyond its memory, rounded up (libxl_mem.c)."""
    target = _number(config, "target_memkb")
    fixed = 1024 if guest_type(config) == "pv" else 2048
    need = target + shadow_kib(config) + _number(config, "iommu_memkb") + fixed
    if _true(config["b_info"].get("device_model_stubdomain")):
        need += _number(config, "stubdomain_memkb") + _number(config, "video_memkb")
    return _round_up(_round_up(need, 2048) * 2048, KIB) - _round_up(target, KIB)


def disks(config: Config) -> list[Config]:
    """Its disks; an empty CD drive is none."""
    found = _list(config, "disks")
    return [
        {**disk, "pdev_path": str(disk["pdev_path"])} for disk in found if disk.get("pdev_path")
    ]


def targets(config: Config) -> tuple[Disk, ...]:
    """Its disks as another host has to find them."""
    return tuple(
        Disk(
            vdev=str(disk.get("vdev") or "?")[:64],
            target=disk["pdev_path"][:1024],
            format=str(disk.get("format") or "")[:64],
            script=str(disk.get("script") or "")[:255],
        )
        for disk in disks(config)
    )


def storage_tag(path: str, settings: Settings) -> str | None:
    """The shared storage that a disk lies on; None where no rule of the settings knows it."""
    return next((s.tag for s in settings.storage if path.startswith(s.prefix)), None)


def needs(config: Config, settings: Settings) -> tuple[str, ...]:
    """Tags that a host must offer to run it."""
    tags: set[str] = {guest_type(config)}
    for nic in _list(config, "nics"):
        bridge = nic.get("bridge")
        if bridge or str(nic.get("script", "vif-bridge")).endswith("vif-bridge"):
            tags.add(f"bridge:{bridge or settings.default_bridge}")
    pool = config["c_info"].get("pool_name") or DEFAULT_POOL
    if pool != DEFAULT_POOL:
        tags.add(f"cpupool:{pool}")
    tags.update(filter(None, (storage_tag(d["pdev_path"], settings) for d in disks(config))))
    return tuple(sorted(tags))


def cpu_levelled(config: Config) -> bool:
    """Whether it was told to use fewer features than its host has (`cpuid=`)."""
    return bool(config["b_info"].get("cpuid"))


def kernel_path(config: Config) -> str:
    """The file that it is booted from directly; empty where there is none."""
    return str(config["b_info"].get("kernel") or _union(config).get("kernel") or "")


def guest_class(config: Config) -> str:
    """What its configuration has in common with those of others that behave alike.

    `pvh vmlinuz-6.1`, `pv pygrub`, `hvm`; `agents.kernels` adds what is known of the kernel.
    """
    boot, union = config["b_info"], _union(config)
    loader = boot.get("bootloader") or union.get("bootloader") or union.get("firmware")
    booted_by = posixpath.basename(kernel_path(config) or str(loader or ""))
    return f"{guest_type(config)} {booted_by}".strip()


def obstacles(
    config: Config, domain: Domain, virt_caps: tuple[str, ...], xen: str, settings: Settings
) -> Iterator[Obstacle]:
    """Everything that makes it unmigratable or risky, in one order."""
    yield from _devices(config)
    yield from _backends(config, settings)
    yield from _features(config)
    yield from state_obstacles(domain)
    target = _round_up(_number(config, "target_memkb"), KIB)
    if target and domain.memory_mib > target + BALLOON_SLACK_MIB:
        text = f"it holds {domain.memory_mib} MiB and should shrink to {target} MiB"
        yield Obstacle(code=ObstacleCode.BALLOONING, text=text, lasting=False)
    if guest_type(config) == "pv" and _no_shadow(virt_caps, xen):
        text = "a PV guest, and this hypervisor is built without shadow paging"
        yield _lasting(ObstacleCode.NO_LOGDIRTY, text)


def _lasting(code: ObstacleCode, text: str) -> Obstacle:
    return Obstacle(code=code, text=text[:500], lasting=True)


def _no_shadow(virt_caps: tuple[str, ...], xen: str) -> bool:
    parts = xen.split(".")
    known = len(parts) >= 2 and all(part.isdigit() for part in parts)
    new_enough = known and tuple(map(int, parts[:2])) >= SHADOW_CAPS_SINCE
    return new_enough and "shadow" not in virt_caps


def _devices(config: Config) -> Iterator[Obstacle]:
    pci = _list(config, "pcidevs")
    if pci:
        yield _lasting(ObstacleCode.PCI, f"{len(pci)} passed-through PCI device(s)")
    for key, text in HOST_DEVICES.items():
        if config.get(key):
            yield _lasting(ObstacleCode.HOST_DEVICE, text)
    boot, union = config["b_info"], _union(config)
    for key in ("ioports", "irqs", "iomem"):
        if boot.get(key):
            yield _lasting(ObstacleCode.HOST_DEVICE, f"{key} of the host")
    if _true(union.get("gfx_passthru")):
        yield _lasting(ObstacleCode.HOST_DEVICE, "a passed-through graphics card")
    if config.get("vtpms"):
        yield _lasting(ObstacleCode.VTPM, "a virtual TPM")


def _backends(config: Config, settings: Settings) -> Iterator[Obstacle]:
    if _true(config["c_info"].get("driver_domain")):
        yield _lasting(ObstacleCode.DRIVER_DOMAIN, "it is a driver domain")
    for kind in ("disks", "nics"):
        names = {str(item.get("backend_domname") or "") for item in _list(config, kind)}
        for name in sorted(names - {"", "0", "Domain-0"}):
            yield _lasting(ObstacleCode.DRIVER_DOMAIN, f"its {kind} are served by {name}")
    for disk in disks(config):
        if storage_tag(disk["pdev_path"], settings) is None:
            text = f"disk {disk.get('vdev', '?')} is {disk['pdev_path']}, no shared storage"
            yield _lasting(ObstacleCode.LOCAL_DISK, text)


def _features(config: Config) -> Iterator[Obstacle]:
    boot, union = config["b_info"], _union(config)
    if _true(boot.get("nested_hvm")) or _true(union.get("nested_hvm")):
        yield _lasting(ObstacleCode.NESTED, "nested virtualisation")
    if _true(boot.get("disable_migrate")):
        yield _lasting(ObstacleCode.NOMIGRATE, "nomigrate is set")
    if boot.get("vnuma_nodes"):
        yield _lasting(ObstacleCode.VNUMA, "virtual NUMA nodes")
    if _true(boot.get("device_model_stubdomain")):
        yield _lasting(ObstacleCode.STUBDOMAIN, "its device model is a domain of its own")


def state_obstacles(domain: Domain) -> Iterator[Obstacle]:
    """What the state letters alone say."""
    found = condition(domain.state)
    if found is Condition.PAUSED:
        yield Obstacle(code=ObstacleCode.PAUSED, text="it is paused", lasting=False)
    elif found is not Condition.RUNS:
        text = f"it is {found.value}"
        yield Obstacle(code=ObstacleCode.NOT_RUNNING, text=text, lasting=False)


def unreadable(domain: Domain) -> GuestSeen:
    """A guest without a configuration: only its row is known, and that it must not be moved."""
    text = "`xl list -l` leaves it out: its configuration cannot be read"
    return GuestSeen(
        name=domain.name,
        uuid=domain.uuid,
        domid=domain.domid,
        type="hvm",
        vcpus=domain.vcpus,
        memory_mib=domain.memory_mib,
        overhead_mib=0,
        state=domain.state,
        obstacles=(
            Obstacle(code=ObstacleCode.UNREADABLE, text=text, lasting=False),
            *state_obstacles(domain),
        ),
    )


def guest_vcpus(config: Config, domain: Domain) -> int:
    """How many it may use; more than are online where some are unplugged."""
    return max(_number(config, "max_vcpus", 1), domain.vcpus)
