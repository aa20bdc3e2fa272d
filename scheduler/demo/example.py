"""An example fleet, the same for the same seed.

python -m scheduler.demo.example > deploy/examples/demo-fleet.json
"""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from planner.fleet import Evacuation, Fleet, Guest, Host, Policy

GIB_MIB = 1024
BEFORE, AFTER = "4.17", "4.19"
TAKEN_AT = "2026-11-22T12:00:00Z"

FRAGILE_CLASS = "pv linux-3.10 i386"
"""What real fleets had trouble with; the demo lets one of these crash when it resumes."""

CLASSES = (
    ("pv linux-4.19 x86_64", "pv", 3),
    ("pvh linux-6.1 x86_64", "pvh", 5),
    ("hvm linux-5.10 x86_64", "hvm", 4),
    ("hvm windows-2022 x86_64", "hvm", 1),
    (FRAGILE_CLASS, "pv", 1),
)
"""Class, what it needs of a host, and how many there are in proportion."""

SIZES_GIB = ((1, 4), (2, 6), (4, 5), (8, 2), (16, 1))
"""Memory of a guest, and how many there are in proportion."""


@dataclass(frozen=True)
class PoolShape:
    """One pool of equal hosts, filled with guests up to a share of its memory."""

    name: str
    racks: int
    hosts_per_rack: int
    memory_gib: int
    cpus: int
    guests: int
    services: int  # groups of two or three guests that stay apart
    size_factor: int = 1

    @property
    def host_names(self) -> list[str]:
        """`north-01`, `north-02`, … ; racks take turns, as in a row of cabinets."""
        return [f"{self.name}-{n:02}" for n in range(1, self.racks * self.hosts_per_rack + 1)]


DEMO = (
    PoolShape("north", 4, 4, memory_gib=64, cpus=16, guests=156, services=14),
    PoolShape("south", 2, 4, memory_gib=128, cpus=24, guests=90, services=8, size_factor=2),
)
SMALL = (PoolShape("lab", 3, 2, memory_gib=48, cpus=16, guests=36, services=5),)

DEMO_POLICY = Policy(
    xen_after=AFTER,
    max_moves_out_per_host=3,
    max_moves_in_per_host=3,
    max_hosts_away=6,
    max_hosts_away_per_group=2,
    wave_hosts=8,
    max_fill=0.97,
)
SMALL_POLICY = Policy(xen_after=AFTER, max_hosts_away=2, wave_hosts=3)


def overhead_mib(memory_mib: int, vcpus: int) -> int:
    """What xl sets aside beside a guest's memory: shadow pages as in libxl, and 2 MiB."""
    return -(-4 * (256 * vcpus + memory_mib) // 1024) + 2


def hosts_of(shape: PoolShape) -> Iterator[Host]:
    """The pool's hosts, all in need of a reboot."""
    for number, name in enumerate(shape.host_names):
        yield Host(
            name=name,
            pool=shape.name,
            group=f"{shape.name}-rack-{number % shape.racks + 1}",
            memory_mib=shape.memory_gib * GIB_MIB,
            cpus=shape.cpus,
            xen=BEFORE,
            reboot=True,
            offers=("bridge:xenbr0", f"storage:san-{shape.name}", "hvm", "pv", "pvh"),
        )


class Filling:
    """Guests of one pool, each put on the host with the most memory left that may take it."""

    def __init__(self, shape: PoolShape, chance: random.Random) -> None:
        self.shape, self.chance = shape, chance
        self.free_mib = {name: shape.memory_gib * GIB_MIB for name in shape.host_names}
        self.services: dict[str, set[str]] = {name: set() for name in shape.host_names}

    def guest(self, name: str, service: str | None = None) -> Guest:
        """The next guest, with a share of chance in its class and size."""
        kind, need, _ = self.chance.choices(CLASSES, [weight for *_, weight in CLASSES])[0]
        size_gib, _ = self.chance.choices(SIZES_GIB, [weight for _, weight in SIZES_GIB])[0]
        memory_mib = size_gib * self.shape.size_factor * GIB_MIB
        vcpus = min(8, max(1, size_gib))
        return Guest(
            name=name,
            uuid=str(uuid.UUID(int=self.chance.getrandbits(128), version=4)),
            host=self._place(memory_mib + overhead_mib(memory_mib, vcpus), service),
            vcpus=vcpus,
            memory_mib=memory_mib,
            overhead_mib=overhead_mib(memory_mib, vcpus),
            needs=("bridge:xenbr0", f"storage:san-{self.shape.name}", need),
            apart=(service,) if service else (),
            guest_class=kind,
            evacuation=Evacuation.MOVE,
        )

    def _place(self, room_mib: int, service: str | None) -> str:
        may = [name for name in self.free_mib if service not in self.services[name]]
        host = max(may, key=lambda name: (self.free_mib[name], self.chance.random()))
        self.free_mib[host] -= room_mib
        if service:
            self.services[host].add(service)
        return host


def guests_of(shape: PoolShape, chance: random.Random) -> Iterator[Guest]:
    """The pool's guests: services of two or three that stay apart, the rest by themselves."""
    filling = Filling(shape, chance)
    made = 0
    for number in range(1, shape.services + 1):
        service = f"{shape.name}-db{number}"
        for replica in "abc"[: 2 + number % 2]:
            made += 1
            yield filling.guest(f"{service}{replica}", service)
    for number in range(1, shape.guests - made + 1):
        yield filling.guest(f"{shape.name}-web{number}")


def with_a_passed_through_device(guests: list[Guest]) -> list[Guest]:
    """The same, but the last guest of the first pool holds a device: it is restarted, not moved."""
    pool = guests[0].name.split("-")[0]
    last = max(n for n, guest in enumerate(guests) if guest.name.startswith(f"{pool}-"))
    held = guests[last].model_copy(update={"evacuation": Evacuation.RESTART})
    return [*guests[:last], held, *guests[last + 1 :]]


def example_fleet(seed: int, shapes: tuple[PoolShape, ...], policy: Policy) -> Fleet:
    """A fleet with these pools; a seed gives the same fleet for ever."""
    chance = random.Random(seed)
    guests = [guest for shape in shapes for guest in guests_of(shape, chance)]
    return Fleet(
        taken_at=TAKEN_AT,
        policy=policy,
        hosts=tuple(host for shape in shapes for host in hosts_of(shape)),
        guests=tuple(with_a_passed_through_device(guests)),
    )


def fleet_file(fleet: Fleet) -> str:
    """The fleet file, a line for each host and guest, so that a change shows as a line."""
    whole = fleet.model_dump(mode="json", by_alias=True)
    lists = {name: whole.pop(name) for name in ("hosts", "guests")}
    head = json.dumps(whole, indent=1).removesuffix("\n}")
    for name, rows in lists.items():
        head += f',\n "{name}": [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]"
    return head + "\n}\n"


def main() -> None:
    """Print the example fleet as a fleet file."""
    sys.stdout.write(fleet_file(example_fleet(17, DEMO, DEMO_POLICY)))


if __name__ == "__main__":
    main()
