"""A host that does not boot ends `lab up` with its last words, and nothing stays running.

Run by `make test-lab`.
"""

from pathlib import Path

import pytest

from deploy.lab import machine
from deploy.lab.errors import LabError
from deploy.lab.images import Images, images
from deploy.lab.lab import up
from deploy.lab.layout import Layout
from tests.lab_kit import layout, say

pytestmark = pytest.mark.timeout(1500)


def nothing_runs(here: Layout) -> bool:
    return not machine.hub_is_on(here) and not any(machine.is_on(host) for host in here.hosts)


def test_a_hypervisor_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    here, broken = layout(), tmp_path / "xen"
    broken.write_text("no hypervisor")
    with pytest.raises(LabError, match=r"lab-1 ended while it booted\n") as told:
        up(here, [here.host("lab-1")], say, xen=broken)
    say(str(told.value))
    assert nothing_runs(here)


def test_a_disk_that_cannot_be_mounted_is_told_from_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, empty = layout(), tmp_path / "disk"
    with empty.open("wb") as file:
        file.truncate(16 << 20)
    made = images(here, say)
    damaged = Images(
        made.xen, made.dom0_kernel, made.dom0_initramfs, empty, made.client_key, made.known_hosts
    )
    monkeypatch.setattr("deploy.lab.lab.images", lambda *_: damaged)
    with pytest.raises(LabError, match="lab-1 did not boot") as told:
        up(here, [here.host("lab-1")], say)
    say(str(told.value))
    assert "the host's disk cannot be mounted" in str(told.value)
    assert nothing_runs(here)
