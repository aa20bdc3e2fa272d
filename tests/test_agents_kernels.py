"""Which kernel a guest runs: what its file says, what it says itself, and what nobody can know."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import guest_words
from agents.kernel_image import BANNER, CHUNK_BYTES, RELEASE, Image, cleaned, read_image
from agents.kernels import Kernel, judged
from agents.look import Looker
from agents.settings import Settings
from agents.wire import Report
from scheduler.standin.fleet import world_from_fleet
from scheduler.standin.kernel_file import bzimage
from scheduler.standin.store import World
from scheduler.standin.world import GuestSpec, HostSpec, create_world
from scheduler.watched import covers
from tests.agents_dom0 import Dom0
from tests.agents_kit import looked

DEBIAN = "6.1.0-18-amd64"


def elf(machine: int, banner: bytes = b"", before: int = 0x100) -> bytes:
    head = b"\x7fELF\x02\x01\x01".ljust(0x12, b"\0") + machine.to_bytes(2, "little")
    return head.ljust(before, b"\0") + banner + b"\0rest"


def said_by(tmp_path: Path, content: bytes) -> tuple[str, str]:
    path = tmp_path / "kernel"
    path.write_bytes(content)
    image = read_image(path)
    assert image is not None and image.changed_s > 0
    return image.release, image.arch


def old_setup(release: str) -> bytes:
    """The header of a kernel from before 3.8: it does not tell its architecture."""
    made = bytearray(bzimage(release, "x86_64"))
    made[0x206:0x208] = (0x20A).to_bytes(2, "little")
    return bytes(made)


BANNER_6_1 = b"Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12"


@pytest.mark.parametrize(
    ("content", "release", "arch"),
    [
        (bzimage(DEBIAN, "x86_64"), DEBIAN, "x86_64"),
        (bzimage("3.10.0-custom", "i386"), "3.10.0-custom", "i386"),
        (old_setup("2.6.32-71.el6"), "2.6.32-71.el6", ""),
        (bzimage(DEBIAN, "x86_64")[:0x210], "", ""),
        (elf(62, BANNER_6_1), DEBIAN, "x86_64"),
        (elf(3, b"Linux version 3.10.108 (root@b)"), "3.10.108", "i386"),
        (elf(183, BANNER_6_1), DEBIAN, "arm64"),
        (elf(62, b"Linux version %s (%s)"), "", "x86_64"),
        (elf(62, b"NetBSD 10.0"), "", "x86_64"),
        (elf(4711), "", ""),
        (b"\0" * 0x38 + b"ARM\x64" + BANNER_6_1, DEBIAN, "arm64"),
        (b"\x1f\x8b compressed", "", ""),
        (b"", "", ""),
    ],
)
def test_a_kernels_file_says_its_release_and_architecture_or_nothing(
    tmp_path: Path, content: bytes, release: str, arch: str
) -> None:
    assert said_by(tmp_path, content) == (release, arch)


def test_a_banner_is_found_wherever_two_pieces_of_the_file_meet(tmp_path: Path) -> None:
    for cut in (1, 20, 40):
        assert said_by(tmp_path, elf(62, BANNER_6_1, CHUNK_BYTES - cut)) == (DEBIAN, "x86_64")


@given(st.binary(max_size=2000), st.sampled_from(["HdrS", "ELF", "ARM"]))
def test_no_file_makes_it_fail_or_repeat_anything_but_a_release(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, form: str
) -> None:
    start = {"HdrS": bzimage("", "i386")[:0x238], "ELF": elf(62), "ARM": b"\0" * 0x38 + b"ARM\x64"}
    path = tmp_path_factory.mktemp("k") / "kernel"
    path.write_bytes(start[form] + noise)
    image = read_image(path)
    assert image is not None
    assert image.release == "" or RELEASE.fullmatch(image.release)


def test_pipes_folders_and_missing_files_are_no_kernels_and_are_not_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_image(tmp_path / "pipe") is None
    assert read_image(tmp_path) is None
    assert read_image(tmp_path / "nothing") is None
    assert read_image(Path("/dev/zero")) is None


HOSTILE = [
    "6.1\n6.2",
    "6.1; reboot",
    "\x1b[31m6.1",
    "6.1 x86_64",
    "<b>6.1</b>",
    "6." + "1" * 200,
    "Windows",
    "../../etc/passwd",
    "6.1.0\u202e",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_guest_writes_is_repeated_only_where_it_is_a_release(
    tmp_path: Path, text: str
) -> None:
    assert cleaned(text) == ""
    dom0 = Dom0(tmp_path / "d", xenstore_read=(str(tmp_path / "d/bin/xenstore-read"),))
    (dom0.base / "said").write_text(text)
    dom0.program("xenstore-read", f"cat {dom0.base}/said")
    assert guest_words.release(dom0.settings, 5) == ""


def test_a_guest_that_writes_no_text_at_all_does_not_spoil_its_hosts_report(
    tmp_path: Path,
) -> None:
    dom0 = Dom0(tmp_path / "d", xenstore_read=(str(tmp_path / "d/bin/xenstore-read"),))
    dom0.program("xenstore-read", r"printf '\377\376'")
    assert guest_words.release(dom0.settings, 5) == ""
    assert not guest_words.cannot_suspend(dom0.settings, 5)


SEEN = Image(DEBIAN, "x86_64", changed_s=100.0)


@pytest.mark.parametrize(
    ("image", "made_s", "said", "words"),
    [
        (SEEN, 200.0, "", "6.1.0-18-amd64 x86_64"),
        (SEEN, 200.0, DEBIAN, "6.1.0-18-amd64 x86_64"),
        (SEEN, 50.0, "", "kernel-unknown arch-unknown"),  # replaced since
        (SEEN, None, "", "kernel-unknown arch-unknown"),  # nobody knows since when it runs
        (SEEN, 200.0, "3.10.0-9.el7.x86_64", "says-3.10.0-9.el7.x86_64 says-x86_64"),
        (SEEN, 50.0, DEBIAN, "says-6.1.0-18-amd64 says-x86_64"),
        (None, None, "5.10.0-8-686-pae", "says-5.10.0-8-686-pae says-i386"),
        (None, None, "5.15.0-91-generic", "says-5.15.0-91-generic arch-unknown"),
        (None, None, "", "kernel-unknown arch-unknown"),
        (Image("", "x86_64", 100.0), 200.0, "", "kernel-unknown x86_64"),
        (Image("", "", 100.0), 200.0, "", "kernel-unknown arch-unknown"),
    ],
)
def test_file_and_guest_are_two_witnesses_and_only_the_file_goes_unmarked(
    image: Image | None, made_s: float | None, said: str, words: str
) -> None:
    assert judged(image, made_s, said).words == words


def test_what_was_decided_of_a_class_of_an_older_agent_holds_for_all_that_were_in_it() -> None:
    words = Kernel("3.10.0", "i386").words
    assert covers("pv vmlinuz-3.10", f"pv vmlinuz-3.10 {words}")
    assert covers("hvm", f"hvm {Kernel().words}")
    assert covers("pv linux-3.10 i386", "pv linux-3.10 i386")
    assert not covers("pv vmlinuz-3.10", f"pv vmlinuz-3.1 {words}")
    assert not covers(f"pv vmlinuz-3.10 {words}", "pv vmlinuz-3.10")
    assert not covers("pv", f"pv vmlinuz-3.10 {words}")


class Host:
    """One host of a simulated world with its agent, which asks xenstore."""

    def __init__(self, world: World, base: Path, host: str = "n1") -> None:
        programs = Path(world.host_dir(host)) / "bin"
        self.root = Path(world.host_dir(host)) / "root"
        self.settings = Settings(
            host=host,
            redis_url="unix:///unused",
            root=str(self.root),
            state_dir=str(base / "state"),
            xl=(str(programs / "xl"),),
            xen_livepatch=(str(programs / "xen-livepatch"),),
            xenstore_read=(str(programs / "xenstore-read"),),
            receiver=str(programs / "xl"),
        )
        self.looker = Looker(self.settings)

    def look(self, clock_s: float = 0.0) -> Report:
        return looked(self.looker, clock_s)

    def classes(self, clock_s: float = 0.0) -> dict[str, str | None]:
        report = self.look(clock_s)
        assert report.trouble == ()
        return {guest.name: guest.guest_class for guest in report.guests}


def test_an_agent_reads_files_and_words_of_a_whole_host(tmp_path: Path) -> None:
    told = {"data/os_uname": "5.10.0-28-amd64"}
    lies = {"data/os_uname": "6.1.0-18-amd64; rm -rf /"}
    old = replace(
        GuestSpec("old", "n1", 256, kind="pv", kernel="/srv/linux-3.10"),
        kernel_release="3.10.0",
        kernel_arch="i386",
    )
    world = create_world(
        str(tmp_path / "world"),
        [HostSpec("n1", 8192)],
        [
            old,
            GuestSpec("web", "n1", 256, kernel="/srv/linux-6.1", kernel_release=DEBIAN),
            GuestSpec("win", "n1", 256, kind="hvm", xenstore=told),
            GuestSpec("bad", "n1", 256, kind="hvm", xenstore=lies),
            GuestSpec("none", "n1", 256),
        ],
    )
    host = Host(world, tmp_path)
    assert host.classes() == {
        "old": "pv linux-3.10 3.10.0 i386",
        "web": "pvh linux-6.1 6.1.0-18-amd64 x86_64",
        "win": "hvm says-5.10.0-28-amd64 says-x86_64",
        "bad": "hvm kernel-unknown arch-unknown",
        "none": "pvh vmlinux kernel-unknown arch-unknown",
    }
    kernel = host.root / "srv/linux-6.1"
    kernel.write_bytes(bzimage("6.12.9", "x86_64"))
    later = kernel.stat().st_mtime + 3600
    os.utime(kernel, (later, later))
    assert host.classes()["web"] == "pvh linux-6.1 6.1.0-18-amd64 x86_64", "asked once a minute"
    assert host.classes(61.0)["web"] == "pvh linux-6.1 kernel-unknown arch-unknown"


def test_a_world_made_of_a_fleet_has_the_kernels_that_its_classes_name(tmp_path: Path) -> None:
    fleet = {
        "hosts": [{"name": "n1", "memory_mib": 4096, "cpus": 4, "xen": "4.17", "reboot": True}],
        "guests": [
            {"name": name, "host": "n1", "memory_mib": 256, "vcpus": 1, "class": guest_class}
            for name, guest_class in (("a", "pv linux-3.10 i386"), ("b", "pvh linux-6.1 x86_64"))
        ],
    }
    host = Host(world_from_fleet(str(tmp_path / "world"), fleet), tmp_path)
    wanted = {"a": "pv linux-3.10 3.10.0 i386", "b": "pvh linux-6.1 6.1.0 x86_64"}
    assert host.classes() == wanted


def test_the_banner_that_is_looked_for_is_a_finished_one() -> None:
    assert BANNER.search(b"Linux version %s") is None
