"""A machine that cannot run the lab is told so in one line that names what is missing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lab import machine, preflight, processes
from deploy.lab.cli import main
from deploy.lab.errors import LabError
from deploy.lab.images import Images, saved
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
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        base = layout.base_port - layout.host("lab-2").ssh_port + somebody.getsockname()[1]
        host = Layout(layout.root, base).host("lab-2")
        with pytest.raises(LabError, match=rf"TCP port {host.ssh_port} .*XENROLL_LAB_PORT"):
            preflight.check_ports(layout, [host], with_hub=False)


def test_half_an_image_is_named_with_the_way_to_have_it_built_again(tmp_path: Path) -> None:
    names = ("xen", "vmlinux", "initramfs.gz", "disk.img", "client", "known_hosts")
    whole = Images(*(tmp_path / name for name in names))
    for name in names:
        (tmp_path / name).write_text("built")
    whole.check()
    whole.disk.write_text("")
    with pytest.raises(LabError, match=rf"disk.img is missing or empty; .* rm -r {tmp_path}"):
        whole.check()
    whole.disk.unlink()
    with pytest.raises(LabError, match=r"disk.img is missing or empty"):
        whole.check()


def test_what_the_system_refuses_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XENROLL_LAB_DIR", "/dev/null/lab")
    assert main(["down"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("lab: ") and "/dev/null/lab" in told
    assert told.count("\n") == 1


def test_records_of_a_machine_that_went_down_count_as_none(tmp_path: Path) -> None:
    record = tmp_path / "record"
    for text in ("", '{"pid": 1', "{}"):
        record.write_text(text)
        with pytest.raises(LabError, match="was not started yet"):
            saved(record)
    record.write_text('{"pid": 1')
    assert processes.running(record) is None
    assert not processes.end(record)


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


def test_a_host_that_says_why_it_does_not_boot_is_quoted_in_the_line(layout: Layout) -> None:
    text = "(XEN) booting\n\n\x1b[6nmount: no such disk\nLAB-FAILED no disk\n\n/ # \x1b[6n"
    host_with_console(layout, text.replace("\n", "\r\n"))
    here = {"pid": os.getpid(), "started": processes.start_time(os.getpid())}
    layout.host("lab-1").pid_file.write_text(json.dumps(here))
    with pytest.raises(LabError) as told:
        machine.wait_ready([layout.host("lab-1")], print)
    assert str(told.value).splitlines() == [
        "lab-1 did not boot: no disk",
        "    (XEN) booting",
        "    mount: no such disk",
    ]


def test_commands_on_a_lab_that_is_not_there_say_so(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XENROLL_LAB_DIR", str(layout.root)[:60])
    assert main(["status"]) == 1
    assert "the lab is down" in capsys.readouterr().out
    assert main(["ssh", "lab-1", "true"]) == 1
    assert capsys.readouterr().err.startswith("lab: the lab was not started yet")
