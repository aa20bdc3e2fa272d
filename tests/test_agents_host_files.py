"""What dom0's files say of a host, read from a directory that stands for its root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import host_files
from agents.host_files import FileError, GuestConfig, config_for
from agents.settings import Storage
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import OTHER_UUID, UUID, recorded
from tests.waiting import until


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return Dom0(tmp_path)


def starts(dom0: Dom0) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in host_files.boot_starts(dom0.settings)]


def test_the_boot_id_of_a_real_host_is_read(dom0: Dom0) -> None:
    dom0.boot_id(recorded("A-pv-boot_id.out").strip())
    assert host_files.boot_id(dom0.settings) == BOOT_ID


@pytest.mark.parametrize("text", ["", "not a boot id\n", "\xff"])
def test_a_boot_id_that_is_none_is_refused_by_its_path(dom0: Dom0, text: str) -> None:
    path = dom0.root / "proc/sys/kernel/random/boot_id"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match="boot id"):
        host_files.boot_id(dom0.settings)
    path.unlink()
    with pytest.raises(FileError, match=str(path)):
        host_files.boot_id(dom0.settings)


def test_bridges_are_told_from_other_network_devices(dom0: Dom0) -> None:
    net = dom0.root / "sys/class/net"
    for name in ("eth0", "lo", "ovs0"):
        (net / name).mkdir()
    (net / "eth0/uevent").write_text("INTERFACE=eth0\n")
    (net / "ovs0/uevent").write_text("DEVTYPE=openvswitch\nINTERFACE=ovs0\n")
    assert host_files.bridges(dom0.settings) == ("ovs0", "xenbr0")


def test_storage_is_offered_where_one_of_its_paths_exists(dom0: Dom0) -> None:
    assert host_files.storages(dom0.settings) == ()
    (dom0.root / "dev/san").mkdir(parents=True)
    (dom0.root / "dev/san/lun1").touch()
    assert host_files.storages(dom0.settings) == ("storage:san",)


def test_storage_may_be_told_by_another_path_than_its_disks(dom0: Dom0) -> None:
    marked = Storage(prefix="/dev/none/", tag="storage:b", present="/etc/xen")
    settings = dom0.settings.model_copy(update={"storage": (marked,)})
    assert host_files.storages(settings) == ("storage:b",)


def test_a_linked_guest_starts_at_boot_by_the_name_in_its_file(dom0: Dom0) -> None:
    (dom0.root / "etc/xen/a.cfg").write_text('# x\nname = "db-3"\nmemory = 48\n')
    (dom0.root / "etc/xen/auto/a.cfg").symlink_to("../a.cfg")
    (dom0.root / "etc/xen/auto/dangling").symlink_to("../none")
    assert starts(dom0) == [("autostart", "db-3"), ("autostart", "dangling")]


def test_a_masked_service_starts_nothing(dom0: Dom0) -> None:
    (dom0.root / "etc/xen/auto/a").write_text("name = 'db-3'\n")
    units = dom0.root / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "xendomains.service").symlink_to("/dev/null")
    assert starts(dom0) == []


def test_a_saved_image_is_seen_even_where_the_service_is_masked(dom0: Dom0) -> None:
    (dom0.root / "var/lib/xen/save/db-3").write_text("memory")
    (dom0.root / "etc/systemd/system").mkdir(parents=True)
    (dom0.root / "etc/systemd/system/xendomains.service").symlink_to("/dev/null")
    assert starts(dom0) == [("saved_image", "/var/lib/xen/save/db-3")]


def test_the_settings_of_xendomains_move_both_directories(dom0: Dom0) -> None:
    (dom0.root / "etc/default").mkdir()
    (dom0.root / "etc/default/xendomains").write_text(
        '#XENDOMAINS_AUTO=/no\nXENDOMAINS_AUTO="/srv/auto"\nXENDOMAINS_SAVE=/srv/save # here\n'
    )
    for folder in ("srv/auto", "srv/save"):
        (dom0.root / folder).mkdir(parents=True)
    (dom0.root / "srv/auto/web").write_text('name="web"')
    (dom0.root / "srv/save/web").write_text("x")
    assert starts(dom0) == [("autostart", "web"), ("saved_image", "/srv/save/web")]


@pytest.mark.parametrize(
    "place", ["etc/systemd/system/multi-user.target.wants/{}.service", "etc/rc2.d/S01{}"]
)
@pytest.mark.parametrize("name", ["xendomains", "libvirt-guests"])
def test_an_enabled_service_is_seen(dom0: Dom0, place: str, name: str) -> None:
    link = dom0.root / place.format(name)
    link.parent.mkdir(parents=True)
    link.symlink_to("/lib/somewhere")
    assert starts(dom0) == [("service", name)]


def test_a_host_without_any_of_these_directories_starts_nothing(tmp_path: Path) -> None:
    dom0 = Dom0(tmp_path)
    settings = dom0.settings.model_copy(update={"root": str(tmp_path / "empty")})
    assert host_files.boot_starts(settings) == ()
    assert host_files.bridges(settings) == ()
    assert host_files.guest_configs(settings) == ()


def test_every_file_that_names_a_guest_is_found(dom0: Dom0) -> None:
    (dom0.root / "etc/xen/b.cfg").write_text(f'uuid = "{UUID.upper()}"\nname = "db-3"\n')
    (dom0.root / "etc/xen/c.cfg").write_text("name = 'web 1'\n")
    (dom0.root / "etc/xen/xl.conf").write_text("autoballoon=0\n")
    (dom0.root / "etc/xen/binary").write_bytes(b"\xff\xfe name = 'x'")
    (dom0.root / "etc/xen/pipe").symlink_to("/dev/zero")
    assert host_files.guest_configs(dom0.settings) == (
        GuestConfig("/etc/xen/b.cfg", "db-3", UUID),
        GuestConfig("/etc/xen/c.cfg", "web 1", None),
    )


def found(*uuids: str | None) -> tuple[GuestConfig, ...]:
    return tuple(GuestConfig(f"/etc/xen/{n}", "db-3", uuid) for n, uuid in enumerate(uuids))


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (found(UUID), "/etc/xen/0"),
        (found(None), "/etc/xen/0"),
        (found(None, UUID), "/etc/xen/1"),
        (found(OTHER_UUID, UUID), "/etc/xen/1"),
        (found(None, None), "/etc/xen/0"),
        (found(OTHER_UUID), None),
        (found(OTHER_UUID, None), None),  # it may be the other guest's
        ((), None),
    ],
)
def test_a_guest_is_started_from_the_file_that_is_surely_its_own(
    files: tuple[GuestConfig, ...], path: str | None
) -> None:
    file = config_for(files, "db-3", UUID)
    assert (file.path if file else None) == path


@pytest.mark.parametrize(
    ("argv", "counts"),
    [
        (["{xl}", "migrate-receive"], 1),
        (["{xl}", "-t", "migrate-receive", "-d"], 1),
        (["python", "-ISE", "{xl}", "migrate-receive"], 1),
        (["{xl}", "list", "-v"], 0),
        (["ssh", "n2", "{xl}", "migrate-receive"], 0),
        (["/elsewhere/xl", "migrate-receive"], 0),
        (["sh", "-c", "{xl} migrate-receive"], 0),
    ],
)
def test_receivers_are_counted_by_their_command_lines(
    dom0: Dom0, argv: list[str], counts: int
) -> None:
    own = [word.format(xl=dom0.bin / "xl") for word in argv]
    proc = dom0.base / "proc/77"
    proc.mkdir(parents=True)
    (proc / "cmdline").write_bytes("\0".join(own).encode() + b"\0")
    settings = dom0.settings.model_copy(update={"proc_dir": str(dom0.base / "proc")})
    assert host_files.receivers(settings) == counts


@contextmanager
def receiver(dom0: Dom0, xl: str) -> Iterator[subprocess.Popen[bytes]]:
    """`xl migrate-receive` as this script, once it has said that it is ready."""
    dom0.program("xl", f"echo ready; {xl}")
    argv = [str(dom0.bin / "xl"), "migrate-receive"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate(b"\n")


def test_a_receiver_that_really_runs_is_counted_until_it_ends(dom0: Dom0) -> None:
    with receiver(dom0, "read line"):
        assert host_files.receivers(dom0.settings) == 1
    assert host_files.receivers(dom0.settings) == 0


def test_the_monitor_that_a_receiver_leaves_behind_does_not_receive(dom0: Dom0) -> None:
    """It is a child of the receiver, has its command line, and reads nothing any more."""
    with receiver(dom0, "exec 3<&0 </dev/null; cat <&3 >/dev/null & wait") as process:
        until(lambda: host_files.receivers(dom0.settings) == 0, "it reads nothing")
        assert process.poll() is None
