"""A dom0 in a directory: settings whose programs are small shell scripts that a test writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.settings import Settings, Storage
from agents.wire import Domain
from tests.agents_kit import DOM0

BOOT_ID = "695d15b2-751b-44e5-b221-142999c1e2f9"

INFO = """xen_version            : 4.17.7
build_id               : 151b373fd64b321593bf987fd923cd10dabadac4
nr_cpus                : 8
total_memory           : 4096
free_memory            : 2048
virt_caps              : pv hvm hap shadow
hw_caps                : 078bf3fd:c0982201:20100800:00000005:00000000:00000000:00000000:00000000
"""


POOLS = """Name               CPUs   Sched     Active   Domain count
Pool-0               8  credit2       y          1
"""


def table(domains: Iterable[Domain]) -> str:
    """These domains (and dom0) as `xl list -v` prints them."""
    heading = "Name  ID   Mem VCPUs\tState\tTime(s)   UUID   Reason-Code\tSecurity Label\n"
    rows = (
        f"{d.name:<40} {d.domid} {d.memory_mib} {d.vcpus} {d.state} {d.cpu_time_s:.1f} {d.uuid}"
        for d in (DOM0, *domains)
    )
    return heading + "".join(f"{row} - -\n" for row in rows)


def config(seen: Domain, **more: Any) -> dict[str, Any]:
    """A PVH guest without anything special, as an entry of `xl list -l`."""
    kib = seen.memory_mib * 1024
    return {
        "domid": seen.domid,
        "config": {
            "c_info": {"type": "pvh", "name": seen.name, "uuid": seen.uuid},
            "b_info": {"max_vcpus": 1, "max_memkb": kib, "target_memkb": kib, "kernel": "/k/linux"},
            **more,
        },
    }


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{key} = {_toml(one)}" for key, one in value.items() if one is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)  # a JSON text, number or truth is a TOML one


class Dom0:
    """Files that programs read, and programs that a test can replace at any time."""

    def __init__(self, base: Path, redis_url: str = "unix:///nowhere", **more: Any) -> None:
        self.base, self.root, self.bin = base, base / "root", base / "bin"
        self.bin.mkdir(parents=True)
        self.boot_id(BOOT_ID)
        for folder in ("etc/xen/auto", "var/lib/xen/save", "sys/class/net/xenbr0/bridge"):
            (self.root / folder).mkdir(parents=True)
        self.settings = Settings(
            host="n1",
            redis_url=redis_url,
            root=str(self.root),
            state_dir=str(base / "state"),
            xl=(str(self.bin / "xl"),),
            xen_livepatch=(str(self.bin / "xen-livepatch"),),
            reboot_command=(str(self.bin / "reboot"),),
            receiver=str(self.bin / "xl"),
            storage=(Storage(prefix="/dev/san/", tag="storage:san"),),
            **{
                "xenstore_read": (),
                "poll_s": 0.02,
                "least_gap_s": 0.01,
                "report_interval_s": 0.5,
                "workers": 1,
                **more,
            },
        )
        self.shows()
        self.program("xen-livepatch", "echo 'Nothing to list'")
        self.program("reboot", "exit 0")

    def boot_id(self, value: str) -> None:
        path = self.root / "proc/sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")

    def program(self, name: str, body: str) -> Path:
        """Write an executable script, whole or not at all."""
        path = self.bin / name
        temporary = path.with_name(f"{name}.new")
        temporary.write_text(f"#!/bin/sh\n{body}\n")
        temporary.chmod(0o755)
        os.rename(temporary, path)
        return path

    def shows(self, *domains: Domain, configs: str | None = None, change: str = "") -> None:
        """What `xl` says; `change` is shell for every command that changes something."""
        (self.base / "info").write_text(INFO)
        (self.base / "list").write_text(table(domains))
        (self.base / "pools").write_text(POOLS)
        entries = json.dumps([config(d) for d in domains])
        (self.base / "configs").write_text(entries if configs is None else configs)
        said = f'echo "$@" >> {self.base}/calls'
        self.program(
            "xl",
            f"""{said}
case "$1 $2" in
  "info "*) cat {self.base}/info;;
  "list -v") cat {self.base}/list;;
  "list -l") cat {self.base}/configs;;
  "cpupool-list "*) cat {self.base}/pools;;
  "vcpu-list "*|"sched-credit"*) exit 1;;
  *) {change or ":"};;
esac""",
        )

    def written(self) -> Path:
        """The settings as a file."""
        path = self.base / "agent.toml"
        fields = self.settings.model_dump(mode="json", exclude_none=True)
        path.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in fields.items()))
        return path

    def calls(self, verb: str) -> list[str]:
        """Every command line of `xl` that began with this word."""
        path = self.base / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == verb]
