"""A guest's configuration in its two forms: libxl's JSON, and the xl.cfg of its owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GuestSpec:
    """One guest of a world to be built."""

    name: str
    host: str
    memory_mib: int
    vcpus: int = 1
    kind: str = "pvh"
    """pv, pvh or hvm."""
    uuid: str | None = None
    overhead_mib: int = 0
    bridges: tuple[str, ...] = ("xenbr0",)
    disks: tuple[str, ...] = ()
    """Paths of block devices, as both hosts of a migration must see them."""
    pci: tuple[str, ...] = ()
    """Passed-through devices, `0000:03:00.0`."""
    cpu_needs: tuple[str, ...] = ()
    on_crash: str = "restart"
    weight: int = 256
    cap: int = 0
    nomigrate: bool = False
    vnuma: bool = False
    autostart: bool = False
    paused: bool = False
    kernel: str = "/srv/vmlinux"
    kernel_release: str | None = None
    """What the kernel's file says of itself, in every dom0; None: there is no such file."""
    kernel_arch: str = "x86_64"
    ramdisk: str = "/srv/initrd.gz"
    cmdline: str = "console=hvc0"
    xenstore: dict[str, str] = field(default_factory=dict)
    """Nodes below the guest's own, `{"data/tick": "1"}`."""


def guest_config(spec: GuestSpec) -> dict[str, Any]:
    """The configuration as `xl list -l` shows it, keys in libxl's order, defaults left out."""
    config: dict[str, Any] = {
        "c_info": {
            "type": spec.kind,
            "name": spec.name,
            "uuid": spec.uuid,
            "run_hotplug_scripts": "True",
        },
        "b_info": _build_info(spec),
    }
    disks = [disk(path, f"xvd{chr(97 + i)}") for i, path in enumerate(spec.disks)]
    nics = [nic(i, bridge, _mac(spec.name, i)) for i, bridge in enumerate(spec.bridges)]
    devices = {"disks": disks, "nics": nics, "pcidevs": [pci_device(d) for d in spec.pci]}
    config.update({key: value for key, value in devices.items() if value})
    config.update(on_reboot="restart", on_crash=spec.on_crash, on_soft_reset="soft_reset")
    if spec.on_crash == "destroy":
        del config["on_crash"]
    return config


def _build_info(spec: GuestSpec) -> dict[str, Any]:
    info: dict[str, Any] = {
        "max_vcpus": spec.vcpus,
        "avail_vcpus": list(range(spec.vcpus)),
        "max_memkb": spec.memory_mib * 1024,
        "target_memkb": spec.memory_mib * 1024,
        "video_memkb": 0 if spec.kind != "hvm" else 8192,
    }
    if spec.nomigrate:
        info["disable_migrate"] = "True"
    if spec.vnuma:
        info["vnuma_nodes"] = [{"memkb": spec.memory_mib * 1024, "distances": [10]}]
    info["sched_params"] = {"sched": "credit2", "weight": spec.weight, "cap": spec.cap}
    info["claim_mode"] = "True"
    if spec.kind == "hvm":
        info["device_model_version"] = "qemu_xen"
        info["type.hvm"] = {"bios": "seabios", "vga": {"kind": "cirrus"}, "boot": "cda"}
    else:
        info["kernel"] = spec.kernel
        info["cmdline"] = spec.cmdline
        info["ramdisk"] = spec.ramdisk
        info[f"type.{spec.kind}"] = {}
    info["arch_arm"] = {}
    info["arch_x86"] = {"msr_relaxed": "False"}
    return info


def disk(path: str, vdev: str, readwrite: bool = True) -> dict[str, Any]:
    made: dict[str, Any] = {"pdev_path": path, "vdev": vdev, "format": "raw"}
    if readwrite:
        made["readwrite"] = 1
    return made | {"colo_restore_enable": "False"}


def nic(number: int, bridge: str, mac: str) -> dict[str, Any]:
    return {
        "devid": number,
        "mac": mac,
        "bridge": bridge,
        "script": "vif-bridge",
        "nictype": "vif",
    }


def pci_device(address: str) -> dict[str, Any]:
    """`0000:03:00.0` as libxl keeps it: numbers that are nought are left out."""
    domain, bus, last = (
        address.split(":") if address.count(":") == 2 else ["0", *address.split(":")]
    )
    slot, function = last.split(".")
    numbers = {"func": function, "dev": slot, "bus": bus, "domain": domain}
    made: dict[str, Any] = {k: int(v, 16) for k, v in numbers.items() if int(v, 16)}
    return made | {"rdm_policy": "strict"}


def _mac(name: str, number: int) -> str:
    import zlib

    digest = zlib.crc32(f"{name}/{number}".encode())
    return f"00:16:3e:{digest >> 16 & 0x7F:02x}:{digest >> 8 & 0xFF:02x}:{digest & 0xFF:02x}"


def xl_cfg(spec: GuestSpec) -> str:
    """The guest's xl.cfg."""
    lines = [
        f'name="{spec.name}"',
        f'uuid="{spec.uuid}"',
        f'type="{spec.kind}"',
        *([] if spec.kind == "hvm" else [f'kernel="{spec.kernel}"', f'ramdisk="{spec.ramdisk}"']),
        *([] if spec.kind == "hvm" else [f'extra="{spec.cmdline}"']),
        f"memory={spec.memory_mib}",
        f"vcpus={spec.vcpus}",
        f"cpu_weight={spec.weight}",
        f"cap={spec.cap}",
        "vif=["
        + ",".join(f'"mac={_mac(spec.name, i)},bridge={b}"' for i, b in enumerate(spec.bridges))
        + "]",
        "disk=["
        + ",".join(f'"phy:{p},xvd{chr(97 + i)},w"' for i, p in enumerate(spec.disks))
        + "]",
        "pci=[" + ",".join(f'"{d}"' for d in spec.pci) + "]",
        *(["nomigrate=1"] if spec.nomigrate else []),
        f'on_crash="{spec.on_crash}"',
    ]
    return "\n".join(lines) + "\n"
