"""The lab itself: two real Xen hosts, two guests, there and back, and a reboot of each host.

Run by `make test-lab`, not by `make test`. Everything is judged from outside, by sightings.
A machine that cannot run it fails, with the line that says why.
"""

from collections.abc import Iterator

import pytest

from deploy.lab.guests import Guest, create
from deploy.lab.lab import Lab
from deploy.lab.sightings import lives, running_twice
from deploy.lab.watch import Watch
from tests.lab_kit import lab_of, move, say, unharmed

pytestmark = pytest.mark.timeout(1800)

PLAIN = Guest("plain", 1)
WITH_DISK = Guest("with-disk", 2, shared_disk=1, on_crash="restart")
HOSTS = ("lab-1", "lab-2")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of(HOSTS) as lab:
        yield lab


def move_all(lab: Lab, source: str, destination: str) -> None:
    for guest in (PLAIN, WITH_DISK):
        move(lab, guest, source, destination)


def reboot(lab: Lab, name: str) -> None:
    before = lab.remote(name).boot_id()
    assert lab.remote(name).check("xl list | tail -n +3") == "", f"{name} is not empty"
    lab.reboot(name)
    assert lab.remote(name).boot_id() != before
    uptime_s = float(lab.remote(name).check("cut -d ' ' -f 1 /proc/uptime"))
    hypervisor = lab.remote(name).check("xl uptime | tail -n 1")
    say(f"{name} was rebooted; dom0 up {uptime_s:.0f} s, {hypervisor.strip()}")


def test_guests_move_to_and_fro_while_each_host_reboots_and_never_notice(lab: Lab) -> None:
    create(lab.remote("lab-1"), PLAIN)
    create(lab.remote("lab-1"), WITH_DISK)
    remotes = [lab.remote(name) for name in HOSTS]
    with Watch(remotes, record=lab.layout.run / "smoke.watch") as watch:
        move_all(lab, "lab-1", "lab-2")
        reboot(lab, "lab-1")
        move_all(lab, "lab-2", "lab-1")
        reboot(lab, "lab-2")
        sightings = watch.sightings()
    assert list(running_twice(sightings)) == []
    found = lives(sightings)
    for guest in (PLAIN, WITH_DISK):
        unharmed(guest, found[guest.uuid], HOSTS)
    assert lab.remote("lab-2").check("xl list | tail -n +3") == ""
