"""What the tests on real Xen share: a lab that ends with the test, and a guest's whole story."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.lab import moves
from deploy.lab.guests import Guest
from deploy.lab.lab import Lab, opened, up
from deploy.lab.layout import REDIS_PORT, Layout, layout_from
from deploy.lab.machine import is_on
from deploy.lab.qemu import Size
from deploy.lab.sightings import Life


def say(what: str) -> None:
    print(f"lab: {what}", flush=True)


def layout() -> Layout:
    return layout_from(os.environ)


@contextmanager
def lab_of(
    names: Sequence[str], xen: Path | None = None, redis_port: int = REDIS_PORT
) -> Iterator[Lab]:
    """These hosts, freshly booted; fails where a lab is up already, for it may be somebody's."""
    here = layout()
    already = [host.name for host in here.hosts if is_on(host)]
    assert not already, f"the lab is in use ({', '.join(already)}); `lab down` ends it"
    lab = up(here, [here.host(name) for name in names], say, redis_port=redis_port, xen=xen)
    try:
        yield lab
    finally:
        lab.down()


@contextmanager
def pair_of_two_cpus(names: Sequence[str]) -> Iterator[Lab]:
    """Two hosts of two CPUs; with XENROLL_LAB_KEEP set, those that are on already."""
    here = layout()
    hosts = [here.host(name) for name in names]
    if all(is_on(host) for host in hosts) and os.environ.get("XENROLL_LAB_KEEP"):
        yield opened(here, say)
        return
    assert not any(is_on(host) for host in here.hosts), "the lab is in use; `lab down` ends it"
    lab = up(here, hosts, say, size=Size(cpus=2))
    try:
        yield lab
    finally:
        lab.down()


def as_after_a_boot(lab: Lab, names: Sequence[str]) -> None:
    """No guest and one CPU pool on each host; in a lab, and only there, by destroying."""
    for name in names:
        remote = lab.remote(name)
        for domid in remote.check("xl list | awk 'NR > 2 { print $2 }'").split():
            remote.check(f"xl destroy {domid}")
        remote.run("xl cpupool-destroy slow && xl cpupool-cpu-add Pool-0 1")


def move(lab: Lab, guest: Guest, source: str, destination: str) -> None:
    """Migrates the guest and insists on success."""
    attempt = moves.migrate(lab.remote(source), guest.name, destination)
    say(f"{guest.name} {source} -> {destination}: {attempt.code} in {attempt.seconds:.0f} s")
    assert attempt.code == 0, attempt.err
    assert "Migration successful." in attempt.err


def unharmed(guest: Guest, life: Life, hosts: Sequence[str]) -> None:
    """The guest was on all these hosts and noticed nothing but silences."""
    say(
        f"{guest.name}: ticks {life.first_tick} to {life.last_tick}, longest silence "
        f"{life.longest_silence_s:.1f} s, hosts {life.hosts}"
    )
    assert len(life.boot_ids) == 1, f"{guest.name} was booted again"
    assert not life.tick_went_back
    assert life.last_tick > life.first_tick
    assert life.disk_errors == 0
    assert set(life.hosts) == set(hosts)
