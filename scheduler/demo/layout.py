"""From a fleet file to what a run needs on disk: simulated machines, agents' settings, inventory.

The scheduler is told nothing of the fleet file: it sees what the agents report, and the inventory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner.fleet import Evacuation, Fleet, Guest, Host
from scheduler.inventory import GuestEntry, HostEntry, Inventory
from scheduler.standin.guest_config import GuestSpec
from scheduler.standin.world import HostSpec, create_world, xen_build

PASSED_THROUGH = "0000:03:00.0"
SSH_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=10"


@dataclass(frozen=True)
class Places:
    """Where everything of a run is, below its state directory."""

    state_dir: Path

    @property
    def world(self) -> Path:
        """The simulated machines."""
        return self.state_dir / "world"

    @property
    def server(self) -> Path:
        """What the embedded server keeps."""
        return self.state_dir / "valkey"

    @property
    def logs(self) -> Path:
        """One log for each machine's agent, one for the controller, one for the machines."""
        return self.state_dir / "log"

    @property
    def inventory(self) -> Path:
        """The inventory that was applied."""
        return self.state_dir / "inventory.json"

    @property
    def fleet(self) -> Path:
        """The fleet file that the run began with."""
        return self.state_dir / "fleet.json"

    def agent(self, host: str) -> Path:
        """What the disk of a dom0 keeps for its agent across reboots."""
        return self.state_dir / "agents" / host

    def agent_settings(self, host: str) -> Path:
        """The agent's settings file."""
        return self.agent(host) / "agent.toml"

    def root(self, host: str) -> Path:
        """The folder that stands for the host's `/`."""
        return self.world / "hosts" / host / "root"

    def programs(self, host: str) -> Path:
        """The folder that holds the host's `xl`, `ssh`, `systemctl`."""
        return self.world / "hosts" / host / "bin"


@dataclass(frozen=True)
class Pace:
    """How fast the simulated time goes, and how often the agents look; real seconds."""

    speed: float
    report_interval_s: float
    workers: int
    agent_settings: Mapping[str, Any] = field(default_factory=dict)


def host_spec(host: Host, fleet: Fleet) -> HostSpec:
    """The simulated machine of a host: what it runs now, and what its next boot brings."""
    after = xen_build(fleet.policy.xen_after or host.xen, fixed_build(fleet))
    return HostSpec(
        name=host.name,
        memory_mib=host.memory_mib,
        cpus=int(host.cpus),
        xen=xen_build(host.xen) if host.reboot else after,
        xen_after_reboot=after,
        bridges=tuple(_tags(host.offers, "bridge:")),
        storage=tuple(f"/dev/san/{tag}/" for tag in _tags(host.offers, "storage:")),
    )


def fixed_build(fleet: Fleet) -> str:
    """The build id that counts as fixed: a SHA-1, as the linker makes them."""
    version = fleet.policy.xen_after or max(host.xen for host in fleet.hosts)
    return hashlib.sha1(f"xenroll {version} fixed".encode(), usedforsecurity=False).hexdigest()


def guest_spec(guest: Guest) -> GuestSpec:
    """The simulated guest. One that is restarted holds a device, which is why it is."""
    kind = next((need for need in guest.needs if need in ("pv", "pvh", "hvm")), "pvh")
    return GuestSpec(
        name=guest.name,
        host=guest.host,
        memory_mib=guest.memory_mib,
        vcpus=guest.vcpus,
        kind=kind,
        uuid=guest.uuid,
        overhead_mib=guest.overhead_mib,
        bridges=tuple(_tags(guest.needs, "bridge:")),
        disks=tuple(f"/dev/san/{tag}/{guest.name}" for tag in _tags(guest.needs, "storage:")),
        pci=(PASSED_THROUGH,) if guest.evacuation is Evacuation.RESTART else (),
        on_crash="destroy",
    )


def _tags(tags: Sequence[str], prefix: str) -> Iterator[str]:
    yield from (tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))


def inventory_of(fleet: Fleet, restart_if_refused: frozenset[str]) -> Inventory:
    """What the operator would keep: pools, racks, who stays apart, whose owner consented."""
    return Inventory(
        policy=fleet.policy,
        hosts=tuple(HostEntry(name=h.name, pool=h.pool, group=h.group) for h in fleet.hosts),
        guests=tuple(
            GuestEntry(
                name=guest.name,
                apart=guest.apart,
                if_refused=_consent(guest, restart_if_refused),
                guest_class=guest.guest_class,
                owner=_owner(guest.name),
            )
            for guest in fleet.guests
        ),
    )


def _owner(guest: str) -> str:
    """`north-db3a` and `south-db1b` are the database team's."""
    return "database team" if "-db" in guest else "web team"


def _consent(guest: Guest, restart_if_refused: frozenset[str]) -> Any:
    restart = guest.evacuation is Evacuation.RESTART or guest.name in restart_if_refused
    return "restart" if restart else "hold"


def agent_settings(places: Places, host: Host, redis_url: str, pace: Pace) -> dict[str, Any]:
    """One agent's settings: the dom0 is a folder, and `xl` the stand-in in it."""
    programs = places.programs(host.name)
    return {
        "host": host.name,
        "redis_url": redis_url,
        "root": str(places.root(host.name)),
        "state_dir": str(places.agent(host.name) / "state"),
        "xl": [str(programs / "xl")],
        "receiver": str(programs / "xl"),
        "xen_livepatch": [str(programs / "xen-livepatch")],
        "xenstore_read": [],  # a process for each guest and look, and no kernel here to ask
        "xenstore_write": [],
        "reboot_command": [str(programs / "systemctl"), "reboot"],
        "transport": f"{programs / 'ssh'} {SSH_OPTIONS}",
        "storage": [
            {"prefix": f"/dev/san/{tag}/", "tag": f"storage:{tag}", "present": f"/dev/san/{tag}"}
            for tag in _tags(host.offers, "storage:")
        ],
        "report_interval_s": pace.report_interval_s,
        "workers": pace.workers,
        **pace.agent_settings,
    }


def toml(settings: Mapping[str, Any]) -> str:
    """A TOML file of these fields: texts, numbers, lists of texts, and lists of small tables."""
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in settings.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value)  # a JSON text, number or truth is a TOML one


def write_agent_settings(places: Places, fleet: Fleet, redis_url: str, pace: Pace) -> None:
    """Every agent's settings file; called again by `--resume`, whose server may be elsewhere."""
    for host in fleet.hosts:
        (places.agent(host.name) / "state").mkdir(parents=True, exist_ok=True)
        text = toml(agent_settings(places, host, redis_url, pace))
        places.agent_settings(host.name).write_text(text)


def lay_out(
    places: Places, fleet: Fleet, document: bytes, pace: Pace, restart_if_refused: frozenset[str]
) -> None:
    """A new world in the place of an older run's; `document` is the fleet file's bytes."""
    for old in (places.world, places.server, places.logs, places.state_dir / "agents"):
        shutil.rmtree(old, ignore_errors=True)
    places.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    places.logs.mkdir()
    create_world(
        str(places.world),
        [host_spec(host, fleet) for host in fleet.hosts],
        [guest_spec(guest) for guest in fleet.guests],
        speed=pace.speed,
    )
    for host in fleet.hosts:
        for tag in _tags(host.offers, "storage:"):
            (places.root(host.name) / "dev" / "san" / tag).mkdir(parents=True, exist_ok=True)
    places.fleet.write_bytes(document)
    inventory = inventory_of(fleet, restart_if_refused)
    places.inventory.write_text(inventory.model_dump_json(by_alias=True, indent=1) + "\n")
