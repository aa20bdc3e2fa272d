"""`xl create`: an xl.cfg becomes a running domain."""

from __future__ import annotations

import os

from scheduler.standin import lifecycle
from scheduler.standin.cfg import ConfigError, parse_cfg
from scheduler.standin.dom0 import Dom0, complain, say
from scheduler.standin.store import read_text
from scheduler.standin.xl_change import cannot_make, not_destroyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from scheduler.standin.cfg import Value

CREATE = "libxl: error: libxl_create.c"
__all__ = ["ConfigError", "create", "read_config"]


def read_config(path: str, shown: str = "", more: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration in an xl.cfg as libxl keeps it, with `more` settings from a command line.

    `shown`: what messages call the file.  OSError, ConfigError.
    """
    text = "\n".join([read_text(path), *more])
    return to_config(parse_cfg(text, shown or path))


def in_root(root: str, path: str) -> str:
    """Where a path of the host is on this machine; a file outside the host's `/` is itself."""
    inside = f"{root}{path}"
    return inside if path.startswith("/") and os.path.exists(inside) else path


def to_config(cfg: dict[str, Value]) -> dict[str, Any]:
    from scheduler.standin.guest_config import GuestSpec, guest_config, pci_device

    if "name" not in cfg:
        raise ConfigError("Domain name must be specified.")
    kind = _text(cfg, "type", "hvm" if cfg.get("builder") == "hvm" else "pv")
    spec = GuestSpec(
        name=_text(cfg, "name"),
        host="",
        memory_mib=int(_text(cfg, "memory", "32")),
        vcpus=int(_text(cfg, "vcpus", "1")),
        kind=kind,
        uuid=_text(cfg, "uuid") or _random_uuid(),
        bridges=(),
        on_crash=_text(cfg, "on_crash", "destroy"),
        weight=int(_text(cfg, "cpu_weight", "256")),
        cap=int(_text(cfg, "cap", "0")),
        nomigrate=_text(cfg, "nomigrate", "0") == "1",
        kernel=_text(cfg, "kernel"),
        ramdisk=_text(cfg, "ramdisk"),
        cmdline=_text(cfg, "extra") or _text(cfg, "cmdline"),
    )
    config = guest_config(spec)
    tail: dict[str, Any] = {
        key: config.pop(key) for key in ("on_reboot", "on_crash", "on_soft_reset") if key in config
    }
    tail["on_reboot"] = _text(cfg, "on_reboot", "restart")
    devices = {
        "disks": [_disk(str(item)) for item in _list(cfg, "disk")],
        "nics": [_nic(i, str(item)) for i, item in enumerate(_list(cfg, "vif"))],
        "pcidevs": [pci_device(str(item).split(",")[0]) for item in _list(cfg, "pci")],
    }
    if "pool" in cfg:
        config["c_info"]["pool_name"] = cfg["pool"]
    return {**config, **{k: v for k, v in devices.items() if v}, **tail}


def _text(cfg: dict[str, Value], key: str, default: str = "") -> str:
    value = cfg.get(key, default)
    return value if isinstance(value, str) else default


def _list(cfg: dict[str, Value], key: str) -> list[Value]:
    value = cfg.get(key, [])
    return value if isinstance(value, list) else [value]


def _random_uuid() -> str:
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _disk(text: str) -> dict[str, Any]:
    """`phy:/dev/vdb,xvda,w` or `format=raw,vdev=xvda,access=rw,target=/dev/vdb`."""
    from scheduler.standin.guest_config import disk

    named = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    plain = [part.strip() for part in text.split(",") if "=" not in part]
    path = named.get("target") or (plain[0].removeprefix("phy:") if plain else "")
    vdev = named.get("vdev") or next((p for p in plain[1:] if p[:2] in ("xv", "hd", "sd")), "xvda")
    access = named.get("access") or (plain[-1] if plain else "w")
    return disk(path, vdev, readwrite=access not in ("r", "ro"))


def _nic(number: int, text: str) -> dict[str, Any]:
    from scheduler.standin.guest_config import nic

    named = dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    mac = named.get("mac") or "00:16:3e:" + ":".join(f"{b:02x}" for b in os.urandom(3))
    return nic(number, named.get("bridge", "xenbr0"), mac)


def create(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    path = options.get("f") or (rest[0] if rest else "")
    if not path:
        from scheduler.standin.xl_help import print_help

        print_help("create")
        return 1
    if "q" not in options:
        complain(f"Parsing config from {path}\n")
    try:
        config = read_config(in_root(dom0.root, path), path, rest[0 if "f" in options else 1 :])
    except OSError as error:
        complain(f"Failed to read config file: {path}: {error.strerror}\n")
        return 1
    except ConfigError as error:
        complain(f"{error}\n")
        return 1
    if "n" in options:
        from scheduler.standin.xl_json import pretty

        say(pretty(config, 0) + "\n")
        return 0
    return _build(dom0, config, paused="p" in options, monitored="e" not in options)


def _build(dom0: Dom0, config: dict[str, Any], paused: bool, monitored: bool) -> int:
    name, memory_kib = config["c_info"]["name"], config["b_info"]["max_memkb"]
    with dom0.change() as change:
        domid = change.state["next_domid"]
        if lifecycle.by_name(change.state, name):
            complain(cannot_make(domid, name))
            return 1
        if lifecycle.free_kib(change.state) < memory_kib:
            complain(_no_memory(domid))
            change.state["next_domid"] += 1
            return 1
        domain = lifecycle.new_domain(change.state, config, name, change.now)
        domain["mem_kib"] = memory_kib
        domain["monitored"] = monitored
        change.note("created", domid=domain["domid"], uuid=domain["uuid"], name=name)
    dom0.world.sleep(dom0.world.settings["guest_start_s"])
    if paused:
        return 0
    with dom0.change() as change:
        built = lifecycle.by_domid(change.state, domain["domid"])
        if built is not None:
            lifecycle.unpause(built, change.now)
    return 0


def _no_memory(domid: int) -> str:
    at = f"Domain {domid}:"
    return (
        "xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for"
        " domain: Out of memory\n"
        "libxl: error: libxl_dom.c:577:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot"
        " allocate memory\n"
        f"{CREATE}:1640:domcreate_rebuild_done: {at}cannot (re-)build domain: -3\n"
        + not_destroyed(domid)
    )
