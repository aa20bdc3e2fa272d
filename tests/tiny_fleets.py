"""Random fleets of a few hosts and guests, for comparison with an exhaustive search."""

from __future__ import annotations

from random import Random

from planner.fleet import Evacuation, Fleet, Gates, Guest, Host, Policy

# One MiB a second, so that a guest's memory is the time that it takes to move.
ONE_MIB_PER_S = 8.388608


def tiny_policy(random: Random) -> Policy:
    """Limits and gates of all kinds; durations in whole seconds."""
    return Policy(
        vcpus_per_cpu=1.0,
        max_moves_out_per_host=random.choice([1, 1, 2]),
        max_moves_in_per_host=random.choice([1, 1, 2]),
        max_hosts_away=random.choice([1, 2, 4]),
        max_hosts_away_per_group=random.choice([None, 1]),
        xen_after=random.choice([None, "4.19"]),
        move_setup_s=random.choice([1.0, 2.0]),
        stream_mbps=ONE_MIB_PER_S,
        dirty_factor=1.0,
        reboot_s=random.choice([2.0, 8.0, 30.0]),
        stop_s=random.choice([1.0, 5.0]),
        start_s=random.choice([1.0, 5.0]),
        max_fill=random.choice([1.0, 1.0, 0.9]),
        extra_moves=random.choice([0.0, 0.02, 0.5]),
        canary_hosts=random.choice([0, 1, 1, 2]),
        wave_hosts=random.choice([1, 2, 50]),
        gates=random.choice([Gates.CANARY, Gates.EVERY, Gates.NONE, Gates.NONE]),
    )


def tiny_fleet(random: Random, most_hosts: int = 4, most_guests: int = 6) -> Fleet:
    """Two to `most_hosts` hosts, up to `most_guests` guests; all of it from `random`."""
    kinds = random.choice([["net"], ["net", "net:cpu"], ["net", "cpu", "net:cpu"]])
    versions = random.choice([["4.17"], ["4.17", "4.19"]])
    hosts = [
        _host(n, random, random.choice(kinds), random.choice(versions))
        for n in range(random.randint(2, most_hosts))
    ]
    room = {host.name: [host.memory_mib, int(host.cpus)] for host in hosts}
    guests = [
        guest
        for n in range(random.randint(1, most_guests))
        if (guest := _guest(n, random, random.choice(hosts), room)) is not None
    ]
    return Fleet(
        taken_at="2026-11-22T12:00:00Z",
        policy=tiny_policy(random),
        hosts=tuple(hosts),
        guests=tuple(guests),
    )


def _host(number: int, random: Random, offers: str, xen: str) -> Host:
    return Host(
        name=f"h{number}",
        group=random.choice(["a", "b", None]),
        memory_mib=random.choice([4, 8, 8, 10, 12]),
        cpus=random.choice([4, 6, 6, 8]),
        xen=xen,
        reboot=random.random() < 0.8,
        offers=tuple(offers.split(":")),
    )


def _guest(number: int, random: Random, host: Host, room: dict[str, list[int]]) -> Guest | None:
    memory_mib, vcpus = random.randint(1, 6), random.randint(0, 3)
    overhead_mib = random.choice([0, 0, 1])
    left = room[host.name]
    if memory_mib + overhead_mib > left[0] or vcpus > left[1]:
        return None
    left[0] -= memory_mib + overhead_mib
    left[1] -= vcpus
    kinds = [*[Evacuation.MOVE] * 12, Evacuation.RESTART, Evacuation.HOLD]
    return Guest(
        name=f"g{number}",
        host=host.name,
        vcpus=vcpus,
        memory_mib=memory_mib,
        overhead_mib=overhead_mib,
        needs=tuple(tag for tag in host.offers if random.random() < 0.3),
        apart=random.choice([(), (), (), ("db",)]),
        evacuation=random.choice(kinds),
    )
