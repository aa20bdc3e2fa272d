"""The whole job on real Xen: three hosts, six guests, a rollout, everything judged from outside.

Run by `make test-lab`. The hosts begin on Debian's hypervisor; what they reboot into is the same
release, really rebuilt (`lab build-xen`), with a build id of its own.
"""

import pytest

from deploy.lab.guests import Guest
from deploy.lab.xenbuild import xen_with_shadow_paging
from tests.lab_kit import lab_of, layout, say
from tests.lab_stage import free_port
from tests.lab_story import Cast, roll

pytestmark = pytest.mark.timeout(7200)

HOSTS = ("lab-1", "lab-2", "lab-3")
GUESTS = {
    Guest("plain", 1): "lab-1",
    Guest("with-disk", 2, shared_disk=1): "lab-1",
    Guest("restarting", 3, on_crash="restart"): "lab-2",
    Guest("with-disk-too", 4, shared_disk=2, on_crash="restart"): "lab-2",
    Guest("bigger", 5, memory_mib=64): "lab-3",
    Guest("two-vcpus", 6, vcpus=2, shared_disk=3): "lab-3",
}


def test_three_hosts_are_emptied_rebooted_on_the_fixed_build_and_used_again() -> None:
    fixed = xen_with_shadow_paging(layout(), say) / "xen"
    with lab_of(HOSTS, redis_port=free_port(layout())) as lab:
        roll(lab, Cast(GUESTS, HOSTS, fixed))
