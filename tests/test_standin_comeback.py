"""Boots of a simulated host that lack something, as a real agent sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.look import Looker
from agents.settings import Settings
from agents.wire import Report
from scheduler.comeback import missing, shown
from scheduler.standin.boot import finish_reboot, start_reboot
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.store import World
from scheduler.standin.world import HostSpec, create_world
from tests.agents_kit import looked

NEWER = "0x5003707"


@pytest.fixture
def world(tmp_path: Path) -> World:
    spec = HostSpec("n1", 4096, storage=("/dev/san/",), microcode_after_reboot=NEWER)
    made = create_world(str(tmp_path / "world"), [spec], speed=100.0)
    (Path(made.host_dir("n1")) / "root/dev/san").mkdir(parents=True)
    return made


def look(world: World, tmp_path: Path) -> Report:
    """What a new agent shows, as after a boot."""
    programs = Path(world.host_dir("n1")) / "bin"
    settings = Settings.model_validate(
        {
            "host": "n1",
            "redis_url": "unix:///unused",
            "root": str(Path(world.host_dir("n1")) / "root"),
            "state_dir": str(tmp_path / "state"),
            "xl": [str(programs / "xl")],
            "xen_livepatch": [str(programs / "xen-livepatch")],
            "xenstore_read": [],
            "receiver": str(programs / "xl"),
            "storage": [{"prefix": "/dev/san/", "tag": "storage:san", "present": "/dev/san"}],
        }
    )
    return looked(Looker(settings))


def rebooted(world: World, tmp_path: Path, *faults: str) -> tuple[Report, Report]:
    before = look(world, tmp_path)
    for fault in faults:
        inject(world, "n1", fault)
    start_reboot(world, "n1")
    assert finish_reboot(world, "n1")
    return before, look(world, tmp_path)


def test_a_boot_brings_everything_back_and_newer_microcode(world: World, tmp_path: Path) -> None:
    before, after = rebooted(world, tmp_path)
    assert before.trouble == after.trouble == ()
    assert (before.microcode, after.microcode) == ("0x5003604", NEWER)
    assert (after.cpu_vendor, after.cpu_signature) == ("GenuineIntel", "06-55-07")
    assert missing(shown(before), after) == ()


@pytest.mark.parametrize(
    ("fault", "lacks"),
    [
        ("boots-without-bridge", "bridge:xenbr0"),
        ("boots-without-storage", "storage:san"),
        ("boots-with-old-microcode", "microcode 0x5003604 (it has 0x5000001)"),
    ],
)
def test_what_a_boot_lacks_is_seen(world: World, tmp_path: Path, fault: str, lacks: str) -> None:
    before, after = rebooted(world, tmp_path, fault)
    assert after.trouble == ()
    assert missing(shown(before), after) == (lacks,)


def test_what_was_lost_is_there_again_when_somebody_repairs_it(
    world: World, tmp_path: Path
) -> None:
    before, _ = rebooted(world, tmp_path, "boots-without-bridge", "boots-without-storage")
    clear(world, "n1")
    assert missing(shown(before), look(world, tmp_path)) == ()


def test_without_xenstored_nothing_of_the_host_can_be_trusted(world: World, tmp_path: Path) -> None:
    _, after = rebooted(world, tmp_path, "boots-without-xenstored")
    assert any("cannot init xl context" in line for line in after.trouble)
    clear(world, "n1")
    assert look(world, tmp_path).trouble == ()
