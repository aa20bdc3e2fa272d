"""Random fleets: small ones as a hypothesis strategy, and large ones from a seed."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from planner.fleet import Evacuation, Fleet, Gates, Guest, Host, Policy
from tests.make import TAKEN_AT

GIB = 1024
TAGS = ("cpu:v2", "cpu:v3", "storage:san1", "bridge:dmz")
CLASSES = (None, "pvh linux-6.1 x86_64", "hvm linux-5.10 x86_64", "pv linux-3.10 i386")


def small_fleets() -> st.SearchStrategy[Fleet]:
    """Fleets of up to 7 hosts of every kind that the fleet file can tell; some cannot be rolled."""
    return st.integers(0, 2**32 - 1).map(lambda seed: small_fleet(Random(seed)))


def small_fleet(random: Random) -> Fleet:
    """Up to 7 hosts and some 25 guests; how full, how mixed and how odd is left to chance."""
    mixed = random.random() < 0.5
    hosts = [_small_host(random, n, mixed) for n in range(random.randint(0, 7))]
    fill = random.choice([0.2, 0.5, 0.8, 1.0])
    guests: list[Guest] = []
    for on in hosts:
        left_mib = int(on.memory_mib * fill)
        while left_mib >= GIB and random.random() < 0.85:
            made = _small_guest(random, len(guests), on, left_mib, mixed)
            left_mib -= made.room_mib
            guests.append(made)
    return Fleet(
        taken_at=TAKEN_AT,
        policy=_policy(random),
        hosts=tuple(hosts),
        guests=tuple(guests),
    )


def _small_host(random: Random, number: int, mixed: bool) -> Host:
    offers = tuple(tag for tag in TAGS if random.random() < 0.8) if mixed else TAGS
    return Host(
        name=f"h{number}",
        pool=random.choice(["a", "a", "a", "b"]) if mixed else "a",
        group=random.choice([None, "rack1", "rack2"]),
        memory_mib=random.choice([8, 16, 16, 32]) * GIB,
        cpus=random.choice([2, 4, 8, 8.5]),
        xen=random.choice(["4.16", "4.17", "4.17"]) if mixed else "4.17",
        reboot=random.random() < 0.85,
        offers=offers,
    )


def _small_guest(random: Random, number: int, on: Host, left_mib: int, mixed: bool) -> Guest:
    overhead_mib = random.choice([0, 0, 40])
    memory_mib = min(random.choice([1, 2, 4, 8]) * GIB, left_mib) - overhead_mib
    odd = random.random() < 0.08
    return Guest(
        name=f"g{number}",
        uuid=random.choice([None, f"00000000-0000-0000-0000-{number:012d}"]),
        host=on.name,
        vcpus=random.choice([1, 1, 2, 4, 8]),
        memory_mib=memory_mib,
        overhead_mib=overhead_mib,
        needs=tuple(tag for tag in on.offers if mixed and random.random() < 0.1),
        apart=random.choice([(), (), (), (), ("web",), ("db",), ("web", "db")]),
        guest_class=random.choice(CLASSES),
        evacuation=random.choice(list(Evacuation)) if odd else Evacuation.MOVE,
    )


def _policy(random: Random) -> Policy:
    return Policy(
        vcpus_per_cpu=random.choice([1.0, 2.5, 4.0]),
        max_moves_out_per_host=random.randint(1, 3),
        max_moves_in_per_host=random.randint(1, 3),
        max_hosts_away=random.choice([None, 1, 2, 7]),
        max_hosts_away_per_group=random.choice([None, 1]),
        xen_after=random.choice([None, "4.17", "4.19"]),
        move_setup_s=random.choice([0.0, 4.0]),
        stream_mbps=random.choice([1000.0, 4000.0]),
        reboot_s=random.choice([0.0, 60.0, 420.0]),
        stop_s=random.choice([0.0, 30.0]),
        start_s=random.choice([0.0, 30.0]),
        max_fill=random.choice([1.0, 1.0, 0.9]),
        extra_moves=random.choice([0.0, 0.02, 0.5]),
        canary_hosts=random.randint(0, 2),
        wave_hosts=random.choice([1, 2, 50]),
        gates=random.choice(list(Gates)),
    )


def large_fleet(hosts: int, seed: int) -> Fleet:
    """A data centre without an empty host: some 12 guests a host, racks of 20, 78 % full.

    Sizes are those of a hosting company's: hosts of 128 to 512 GiB, guests of 1 to 32 GiB, one in
    a hundred guests with a passed-through device, groups of 2 to 8 that have to be apart.
    """
    random = Random(seed)
    sizes = random.choices([124, 188, 252, 508], [84, 8, 6, 2], k=hosts)
    made = [_large_host(n, gib) for n, gib in enumerate(sizes)]
    guests: list[Guest] = []
    for on in made:
        left_mib = int(on.memory_mib * random.uniform(0.68, 0.88))
        while left_mib > GIB:
            guest = _large_guest(random, len(guests), on, left_mib)
            left_mib -= guest.room_mib
            guests.append(guest)
    return Fleet(taken_at=TAKEN_AT, policy=Policy(), hosts=tuple(made), guests=tuple(guests))


def _large_host(number: int, gib: int) -> Host:
    return Host(
        name=f"host{number:05d}",
        group=f"rack{number // 20:04d}",
        memory_mib=gib * GIB,
        cpus=gib // 2,
        xen="4.17",
        reboot=True,
        offers=("pv", "hvm", "bridge:br0"),
    )


def _large_guest(random: Random, number: int, on: Host, left_mib: int) -> Guest:
    fitting = [gib for gib in (1, 2, 4, 8, 16, 32) if gib * GIB + 300 <= left_mib] or [1]
    weights = {1: 8, 2: 14, 4: 18, 8: 22, 16: 20, 32: 18}
    gib = random.choices(fitting, [weights[size] for size in fitting])[0]
    # Neighbours by number are on one host or the next, so a group's members are far apart.
    apart = (f"apart{number % 5003:04d}",) if random.random() < 0.06 else ()
    return Guest(
        name=f"guest{number:06d}",
        host=on.name,
        vcpus=max(1, gib // 2),
        memory_mib=gib * GIB - 300 if gib * GIB > left_mib - 300 else gib * GIB,
        overhead_mib=16 + 8 * gib,
        needs=(random.choice(["pv", "hvm"]), "bridge:br0"),
        apart=apart,
        guest_class=random.choice(CLASSES),
        evacuation=Evacuation.RESTART if random.random() < 0.012 else Evacuation.MOVE,
    )
