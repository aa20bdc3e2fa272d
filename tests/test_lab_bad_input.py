"""A machine that cannot run the lab is told so in one line that names what is missing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lab import machine, preflight
from deploy.lab.cli import main
from deploy.lab.errors import LabError
from deploy.lab.layout import Layout
from deploy.lab.qemu import Size
from deploy.lab.tools import find

ROOM = Size(1, 1)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return Layout(tmp_path, min(plug.getsockname()[1], 65400))


def test_a_missing_program_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match=r"qemu-nothing is not .*install-host-packages.sh"):
        find("qemu-nothing")


def test_hosts_that_need_more_memory_than_is_free_are_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "PROGRAMS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LabError, match=r"MiB of memory are free; these hosts need \d+ MiB"):
        preflight.check(layout, layout.hosts, Size(10**7, 1))


def test_a_full_disk_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PROGRAMS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "CACHE_GIB", 10**7)
    with pytest.raises(LabError, match=rf"GiB are free in {layout.root}; the lab needs"):
        preflight.check(layout, layout.hosts, ROOM)


def test_who_is_not_root_is_told_why_that_is_needed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="run it as root"):
        preflight.check(layout, layout.hosts, ROOM)


def test_a_port_that_somebody_has_is_named(layout: Layout) -> None:
    host = layout.host("lab-2")
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", host.ssh_port))
        somebody.listen()
        with pytest.raises(LabError, match=rf"TCP port {host.ssh_port} .*XENROLL_LAB_PORT"):
            preflight.check_ports(layout, [host], with_hub=False)


def host_with_console(layout: Layout, text: str) -> None:
    """lab-1 as it is right after its start; an ended process stands for its QEMU."""
    host = layout.host("lab-1")
    host.folder.mkdir(parents=True)
    host.console.write_text(text)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    record = {"pid": ended.pid, "started": 1}
    ended.wait()
    host.pid_file.write_text(json.dumps(record))


def test_a_host_that_ends_while_it_boots_shows_the_end_of_its_console(layout: Layout) -> None:
    host_with_console(layout, "(XEN) first line\n(XEN) Panic on CPU 0: no dom0\n")
    with pytest.raises(LabError, match=r"lab-1 ended while it booted\n(.*\n)*.*Panic on CPU 0"):
        machine.wait_ready([layout.host("lab-1")], print)


def test_commands_on_a_lab_that_is_not_there_say_so(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XENROLL_LAB_DIR", str(layout.root)[:60])
    assert main(["status"]) == 1
    assert "the lab is down" in capsys.readouterr().out
    assert main(["ssh", "lab-1", "true"]) == 1
    assert capsys.readouterr().err.startswith("lab: the lab was not started yet")
