"""The lab itself: two real Xen hosts, two guests, there and back, and a reboot of each host.

Run by `make test-lab`, not by `make test`. Everything is judged from outside, by sightings.
A machine that cannot run it fails, with the line that says why.
"""

import os
from collections.abc import Iterator

import pytest

from deploy.lab import moves
from deploy.lab.guests import Guest, create
from deploy.lab.lab import DEFAULT_SIZE, Lab, up
from deploy.lab.layout import REDIS_PORT, layout_from
from deploy.lab.machine import is_on
from deploy.lab.sightings import Life, lives, running_twice
from deploy.lab.watch import Watch

pytestmark = pytest.mark.timeout(1800)

PLAIN = Guest("plain", 1)
WITH_DISK = Guest("with-disk", 2, shared_disk=1, on_crash="restart")
HOSTS = ("lab-1", "lab-2")


def say(what: str) -> None:
    print(f"lab: {what}", flush=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    layout = layout_from(os.environ)
    hosts = [layout.host(name) for name in HOSTS]
    already = [host.name for host in layout.hosts if is_on(host)]
    assert not already, f"the lab is in use ({', '.join(already)}); `lab down` ends it"
    lab = up(layout, hosts, say, DEFAULT_SIZE, REDIS_PORT)
    yield lab
    lab.down()


def move_all(lab: Lab, source: str, destination: str) -> None:
    for guest in (PLAIN, WITH_DISK):
        attempt = moves.migrate(lab.remote(source), guest.name, destination)
        say(f"{guest.name} {source} -> {destination}: {attempt.code} in {attempt.seconds:.0f} s")
        assert attempt.code == 0, attempt.err
        assert "Migration successful." in attempt.err


def reboot(lab: Lab, name: str) -> None:
    before = lab.remote(name).boot_id()
    assert lab.remote(name).check("xl list | tail -n +3") == "", f"{name} is not empty"
    lab.reboot(name)
    assert lab.remote(name).boot_id() != before
    uptime_s = float(lab.remote(name).check("cut -d ' ' -f 1 /proc/uptime"))
    hypervisor_s = lab.remote(name).check("xl uptime | tail -n 1")
    say(f"{name} was rebooted; dom0 up {uptime_s:.0f} s, {hypervisor_s.strip()}")


def test_guests_move_to_and_fro_while_each_host_reboots_and_never_notice(lab: Lab) -> None:
    create(lab.remote("lab-1"), PLAIN)
    create(lab.remote("lab-1"), WITH_DISK)
    with Watch(
        [lab.remote(name) for name in HOSTS], record=lab.layout.run / "smoke.watch"
    ) as watch:
        move_all(lab, "lab-1", "lab-2")
        reboot(lab, "lab-1")
        move_all(lab, "lab-2", "lab-1")
        reboot(lab, "lab-2")
        sightings = watch.sightings()
    assert list(running_twice(sightings)) == []
    found = lives(sightings)
    for guest in (PLAIN, WITH_DISK):
        unharmed(guest, found[guest.uuid])
    assert [domain.name for domain in sightings[-1].domains if sightings[-1].host == "lab-2"] == []


def unharmed(guest: Guest, life: Life) -> None:
    say(f"{guest.name}: ticks {life.first_tick} to {life.last_tick}, longest silence "
        f"{life.longest_silence_s:.1f} s, hosts {life.hosts}")  # fmt: skip
    assert len(life.boot_ids) == 1, f"{guest.name} was booted again"
    assert not life.tick_went_back
    assert life.last_tick > life.first_tick
    assert life.disk_errors == 0
    assert set(life.hosts) == set(HOSTS)
