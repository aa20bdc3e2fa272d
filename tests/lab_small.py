"""The whole job on real Xen, small: two hosts, two guests, each host emptied and rebooted once.

Run by `make test-lab-small` and in continuous integration, not by `make test`. A machine that
cannot run it fails, with the line that says why.
"""

import pytest

from deploy.lab.build_id import with_another_build_id
from deploy.lab.guests import Guest
from tests.lab_kit import lab_of, layout
from tests.lab_stage import free_port
from tests.lab_story import Cast, roll

pytestmark = pytest.mark.timeout(1500)

HOSTS = ("lab-1", "lab-2")
GUESTS = {Guest("plain", 1): "lab-1", Guest("with-disk", 2, shared_disk=1): "lab-2"}


def test_two_hosts_are_emptied_rebooted_on_the_fixed_build_and_used_again() -> None:
    with lab_of(HOSTS, redis_port=free_port(layout())) as lab:
        fixed = with_another_build_id(lab.images.xen, lab.layout.run)
        roll(lab, Cast(GUESTS, HOSTS, fixed))
