"""A PV guest migrates between hosts whose Xen was rebuilt with shadow paging.

Run by name (`pytest tests/lab_pv.py`), as the hypervisor takes minutes to build the first time.
"""

from collections.abc import Iterator

import pytest

from deploy.lab.guests import Guest, create
from deploy.lab.lab import Lab
from deploy.lab.sightings import lives, running_twice
from deploy.lab.watch import Watch
from deploy.lab.xenbuild import xen_with_shadow_paging
from tests.lab_kit import lab_of, layout, move, say, unharmed

pytestmark = pytest.mark.timeout(2400)

HOSTS = ("lab-1", "lab-2")
PV_GUEST = Guest("para", 9, kind="pv", memory_mib=48, shared_disk=2)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    xen = xen_with_shadow_paging(layout(), say) / "xen"
    with lab_of(HOSTS, xen) as lab:
        yield lab


def test_a_pv_guest_moves_there_and_back_on_xen_with_shadow_paging(lab: Lab) -> None:
    assert " shadow" in lab.remote("lab-1").check("xl info | grep ^virt_caps")
    create(lab.remote("lab-1"), PV_GUEST)
    with Watch([lab.remote(name) for name in HOSTS]) as watch:
        move(lab, PV_GUEST, "lab-1", "lab-2")
        move(lab, PV_GUEST, "lab-2", "lab-1")
        sightings = watch.sightings()
    assert list(running_twice(sightings)) == []
    unharmed(PV_GUEST, lives(sightings)[PV_GUEST.uuid], HOSTS)
