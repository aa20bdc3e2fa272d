"""The parts of the lab that need no Xen: the wire, the cache, processes, images and settings."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agents.settings import load
from deploy.lab import enroll, processes
from deploy.lab.build_id import build_id, with_another_build_id
from deploy.lab.cache import KEPT, Stage, built, key_of
from deploy.lab.errors import LabError
from deploy.lab.guests import Guest, config
from deploy.lab.hub import Hub, Port, Wire
from deploy.lab.kernel import deaf
from deploy.lab.layout import Layout, layout_from
from scheduler.enroll import settings_text


class HeardWire(Wire):
    """A wire whose cables end in a list."""

    def __init__(self, ports: list[Port]) -> None:
        super().__init__(ports)
        self.heard: list[tuple[bytes, int]] = []

    def send(self, data: bytes, number: int) -> None:
        self.heard.append((data, number))


def test_only_a_cut_off_host_misses_what_the_others_hear(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 20000)
    ports = [Port(host) for host in layout.hosts]
    wire = HeardWire(ports)
    ports[2].open.clear()
    wire.datagram_received(b"frame", ("127.0.0.1", layout.hosts[0].wire_port))
    assert wire.heard == [(b"frame", layout.hosts[1].wire_port)]
    wire.datagram_received(b"from the cut-off host", ("127.0.0.1", layout.hosts[2].wire_port))
    wire.datagram_received(b"from a stranger", ("127.0.0.1", 1))
    assert len(wire.heard) == 1


def test_a_cut_relay_holds_bytes_back_and_delivers_them_when_healed(tmp_path: Path) -> None:
    asyncio.run(_cut_and_heal(Layout(tmp_path, 20000)))


async def _cut_and_heal(layout: Layout) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    hub = Hub(layout, server.sockets[0].getsockname()[1])
    port = hub.ports[0]
    relay = await asyncio.start_server(lambda r, w: hub.relay(port, r, w), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*relay.sockets[0].getsockname())
    hub.obey({"do": "cut", "host": 1})
    writer.write(b"hello\n")
    answer = asyncio.ensure_future(reader.readline())
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not answer.done(), "bytes came through a cut"
    hub.obey({"do": "heal", "host": 1})
    assert await answer == b"hello\n"
    writer.close()
    for each in (relay, server):
        each.close()
        await each.wait_closed()


@pytest.mark.parametrize("order", [{}, {"do": "dance"}, {"do": "cut", "host": 9}])
def test_the_hub_refuses_what_is_no_order(tmp_path: Path, order: dict[str, object]) -> None:
    hub = Hub(Layout(tmp_path, 20000), 6379)
    with pytest.raises((KeyError, StopIteration)):
        hub.obey(order)


def test_a_build_that_breaks_off_does_not_count_and_the_next_one_replaces_it(
    tmp_path: Path,
) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("")
        raise LabError("power cut")

    def whole(folder: Path) -> None:
        (folder / "result").write_text("done")

    with pytest.raises(LabError, match="power cut"):
        built(tmp_path, Stage("thing", ["same"], broken), print)
    folder = built(tmp_path, Stage("thing", ["same"], whole), print)
    assert [file.name for file in folder.iterdir()] == ["result"]
    assert built(tmp_path, Stage("thing", ["same"], broken), print) == folder


def test_changed_inputs_build_anew_and_old_results_do_not_pile_up(tmp_path: Path) -> None:
    source = tmp_path / "source"
    cache = tmp_path / "cache"
    stage = Stage("thing", [source, "v1"], lambda folder: None)
    neighbour = built(cache, Stage("thing-else", [], lambda folder: None), print)
    results = []
    for number in range(KEPT + 1):
        source.write_text(str(number))
        results.append(built(cache, stage, print))
        os.utime(results[-1], (number, number))
    assert len(set(results)) == KEPT + 1
    assert [result.exists() for result in results] == [False, *(True for _ in range(KEPT))]
    assert neighbour.exists()
    assert key_of(Stage("thing", ["ab", "c"], print)) != key_of(Stage("thing", ["a", "bc"], print))


def test_a_hypervisor_under_another_build_id_differs_in_nothing_else(tmp_path: Path) -> None:
    header = struct.pack("<3I4s", 4, 20, 3, b"GNU")
    xen = tmp_path / "xen"
    xen.write_bytes(b"code" + header + bytes(range(20)) + b"more code")
    fixed = with_another_build_id(xen, tmp_path)
    assert build_id(xen) == bytes(range(20)).hex()
    assert build_id(fixed) != build_id(xen)
    assert fixed.read_bytes().replace(bytes.fromhex(build_id(fixed)), b"") == (
        xen.read_bytes().replace(bytes.fromhex(build_id(xen)), b"")
    )
    xen.write_bytes(b"code without a note")
    with pytest.raises(LabError, match="0 build ids"):
        build_id(xen)


def test_what_an_agent_of_the_lab_is_told_fits_its_settings(tmp_path: Path) -> None:
    made = settings_text("lab-1", enroll.SERVER) + enroll.settings()
    file = tmp_path / "agent.toml"
    file.write_text(made)
    told = load(file)
    assert told.redis_url == "redis://agent-lab_2d_1@10.0.2.100:6379/0"
    assert [storage.prefix for storage in told.storage] == ["/dev/vdb", "/dev/vdc", "/dev/vdd"]
    assert told.reboot_command == ("/sbin/reboot",)


def test_only_the_process_that_was_started_is_ended(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = processes.start_time(stranger.pid)
    assert started is not None
    record = tmp_path / "pid"
    record.write_text(json.dumps({"pid": stranger.pid, "started": started - 1}))
    assert processes.running(record) is None
    assert not processes.end(record)
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_a_process_that_ends_while_it_is_looked_at_runs_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(path: Path) -> str:
        raise ProcessLookupError(3, "No such process", str(path))  # as a read in /proc says it

    monkeypatch.setattr(Path, "read_text", ended)
    assert processes.start_time(os.getpid()) is None


def test_a_process_that_ignores_sigterm_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "END_TIMEOUT_S", 0.5)
    ready = tmp_path / "ready"
    code = f"import signal, time; signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN)\n"
    code += f"open({str(ready)!r}, 'w').close(); time.sleep(600)"
    record = tmp_path / "pid"
    processes.start([sys.executable, "-c", code], record, tmp_path / "log")
    while not ready.exists():
        os.sched_yield()
    assert processes.running(record) is not None
    assert processes.end(record)
    assert processes.running(record) is None


def test_a_deaf_kernel_differs_in_the_name_of_one_order_only() -> None:
    table = b"".join(
        name.ljust(24, b"\0") for name in (b"poweroff", b"halt", b"reboot", b"suspend")
    )
    kernel = b"suspend\0\0\0\0 elsewhere" + table + b"end"
    changed = deaf(kernel)
    assert changed == kernel[:-27] + b"ignored" + kernel[-20:]
    with pytest.raises(LabError, match="found 0 times"):
        deaf(b"no table")


def test_a_guest_with_a_shared_disk_gets_the_device_behind_the_hosts_own() -> None:
    text = config(Guest("db", 7, shared_disk=1, on_crash="restart"))
    assert 'disk=["phy:/dev/vdb,xvda,w"]' in text
    assert 'on_crash="restart"' in text
    assert "mac=00:16:3e:00:00:07" in text


@pytest.mark.parametrize("port", ["", "80", "nonsense", "70000"])
def test_a_lab_port_that_cannot_be_is_named(port: str) -> None:
    environ = {"XENROLL_LAB_PORT": port or "1", "XENROLL_LAB_DIR": "/tmp/lab"}
    with pytest.raises(LabError, match="XENROLL_LAB_PORT"):
        layout_from(environ)


def test_a_lab_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(LabError, match="XENROLL_LAB_DIR"):
        layout_from({"XENROLL_LAB_DIR": "/" + "x" * 80})


def test_an_unknown_host_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="lab-1, lab-2, lab-3"):
        Layout(tmp_path).host("lab-9")
