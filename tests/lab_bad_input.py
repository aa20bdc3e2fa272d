"""What is wrong ends `lab up` with one line and a host's last words, and nothing stays running.

Run by `make test-lab`; `tests/test_lab_bad_input.py` has what needs neither images nor a boot.
"""

import os
import socket
from pathlib import Path

import pytest

from deploy.lab import machine
from deploy.lab.cli import main
from deploy.lab.errors import LabError
from deploy.lab.images import Images, images
from deploy.lab.lab import up
from deploy.lab.layout import Layout
from tests.lab_kit import layout, say

pytestmark = pytest.mark.timeout(1500)


def nothing_runs(here: Layout) -> bool:
    return not machine.hub_is_on(here) and not any(machine.is_on(host) for host in here.hosts)


@pytest.fixture(autouse=True)
def _nothing_is_on() -> None:
    assert nothing_runs(layout()), "the lab is in use; `lab down` ends it"


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The only line that `lab WORDS` complains with; nothing runs after it."""
    assert main(words) == 1
    told = capsys.readouterr().err
    say(told.strip())
    assert told.startswith("lab: ") and told.count("\n") == 1
    assert nothing_runs(layout())
    return told


def test_a_port_that_somebody_has_is_named_and_no_host_is_started(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for port in (layout().host("lab-2").ssh_port, layout().host("lab-3").relay_port):
        with socket.socket() as somebody:
            somebody.bind(("127.0.0.1", port))
            somebody.listen()
            told = refused(capsys, "up", "lab-1", "lab-2")
        assert f"TCP port {port} on 127.0.0.1 is in use" in told and "XENROLL_LAB_PORT" in told


def test_a_machine_with_too_little_of_something_is_told_of_what(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "MiB of memory are free" in refused(capsys, "up", "--memory-mib", "99999999")
    monkeypatch.setenv("PATH", os.devnull)
    told = refused(capsys, "up")
    assert "qemu-system-x86_64 is not installed; deploy/lab/install-host-packages.sh" in told


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
    why = "lab-1 did not boot: the host's disk cannot be mounted\n"
    with pytest.raises(LabError, match=why) as told:
        up(here, [here.host("lab-1")], say)
    say(str(told.value))
    assert "mounting /dev/vda on /new failed" in str(told.value)
    assert nothing_runs(here)
