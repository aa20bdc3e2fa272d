"""What a host finds at the paths of disks that it is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.command import Garbage, Missing, TimedOut
from agents.disk_probe import identity, probe
from agents.disks import Disks, asked_for
from agents.helper import Helper
from agents.wire import DiskFound
from tests.agents_dom0 import Dom0
from tests.disks_kit import PATH, dom0_with_disk


def test_a_disk_that_can_be_read_is_told_with_its_size(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(8192))
    assert probe(str(disk), "/sys") == {"target": str(disk), "kind": "file", "size_bytes": 8192}


def test_a_link_is_followed_to_the_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    (tmp_path / "by-path").symlink_to("disk")
    assert probe(str(tmp_path / "by-path"), "/sys")["size_bytes"] == 512


def bad(folder: Path) -> dict[str, tuple[str, str]]:
    """Paths of no use, each with what is said of it."""
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    (folder / "error").symlink_to("/proc/self/mem")
    (folder / "loop").symlink_to("loop")
    neither = "neither a block device nor a file"
    return {
        "nothing is there": (f"{folder}/nothing", "No such file or directory"),
        "a folder": (str(folder), neither),
        "a pipe, which is not opened": (f"{folder}/pipe", neither),
        "a device that is no disk": ("/dev/zero", neither),
        "no byte in it": (f"{folder}/empty", "empty: nothing can be read"),
        "its first block cannot be read": (f"{folder}/error", "Input/output error"),
        "a link to itself": (f"{folder}/loop", "Too many levels of symbolic links"),
    }


def test_each_way_in_which_a_disk_is_of_no_use(tmp_path: Path) -> None:
    for what, (path, problem) in bad(tmp_path).items():
        assert probe(path, "/sys").get("problem") == problem, what


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return dom0_with_disk(tmp_path)


def test_a_device_is_known_by_its_own_name_and_a_partition_by_that_of_its_disk(
    tmp_path: Path,
) -> None:
    devices, block = tmp_path / "devices", tmp_path / "dev/block"
    block.mkdir(parents=True)
    names = {
        "253:0": ("dm-0", "dm/uuid", "mpath-3600a098038"),
        "8:0": ("sda", "device/wwid", "naa.600a098038"),
        "259:0": ("nvme0n1", "wwid", "eui.0025385b21404321"),
        "254:16": ("vdb", "serial", "lun 7\n"),
    }
    for number, (name, file, value) in names.items():
        (devices / name / file).parent.mkdir(parents=True)
        (devices / name / file).write_text(value)
        (block / number).symlink_to(devices / name)
    (devices / "sda/sda2").mkdir()
    (devices / "sda/sda2/partition").write_text("2\n")
    (block / "8:2").symlink_to(devices / "sda/sda2")
    for number, (_, _, value) in names.items():
        assert identity(str(tmp_path), *map(int, number.split(":"))) == value.strip()
    assert identity(str(tmp_path), 8, 2) == "naa.600a098038:2"
    assert identity(str(tmp_path), 7, 0) == "", "a loop device has none"


def test_a_host_answers_for_each_path_that_it_is_asked_for(dom0: Dom0) -> None:
    disks = Disks(dom0.settings)
    for _ in range(2):  # the second time the program is there already
        here, gone = disks.find([PATH, "/dev/san/gone", PATH, "rbd:pool/image"])
        assert here == DiskFound(target=PATH, kind="file", size_bytes=4096)
        assert gone == DiskFound(target="/dev/san/gone", problem="No such file or directory")
    assert disks.find([]) == ()


def test_a_program_that_cannot_look_is_a_problem_of_each_disk(dom0: Dom0) -> None:
    settings = dom0.settings.model_copy(update={"python": "/nonexistent/python3"})
    (found,) = Disks(settings).find([PATH])
    assert found.problem.startswith("cannot be looked at") and found.size_bytes is None


def test_a_helper_that_hangs_is_left_behind_and_the_next_question_goes_to_another(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nread q\nif [ "$q" = one ]; then sleep 60; fi\necho "said $q"\n')
    program.chmod(0o755)
    helper = Helper([str(program)])
    with pytest.raises(TimedOut):
        helper.ask("one", 0.3)
    assert helper.ask("two", 30.0) == b"said two\n"
    assert helper.ask("three", 30.0) == b"said three\n", "it had ended: another one is started"
    helper.leave()


def test_a_helper_that_is_missing_or_says_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        Helper([str(tmp_path / "nothing")]).ask("one", 1.0)
    with pytest.raises(Garbage):
        Helper(["/bin/true"]).ask("one", 30.0)


@pytest.mark.parametrize("raw", [None, b"", b"{}", b"[1, 2]", b"\xff", "[]"])
def test_words_that_are_no_list_of_paths_ask_for_nothing(raw: bytes | str | None) -> None:
    assert asked_for(raw) == ()
