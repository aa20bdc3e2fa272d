"""What an agent tells of its host beside its guests: CPU, payloads, CPU pools, links put aside."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from agents.cpu import Cpu, parse
from agents.gates import Sight, reboot
from agents.host_files import auto_links, put_aside
from agents.journal import Journal
from agents.look import Looker, Question
from agents.prepare import Refusal, prepare
from agents.wire import Kind, Report
from tests.agents_dom0 import BOOT_ID, Dom0, config
from tests.agents_kit import NOON, domain, order

HERE = domain()
CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz
stepping\t: 7
microcode\t: 0x5003604

processor\t: 1
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
stepping\t: 7
microcode\t: 0x5003303
"""


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return Dom0(tmp_path)


def look(looker: Looker, clock_s: float = 0.0) -> Report:
    return looker.look(
        Question(
            agent_id="a",
            sequence=1,
            answers=0,
            ordered=frozenset(),
            taken_at=NOON,
            clock_s=clock_s,
        )
    )


def test_the_lowest_microcode_of_all_cpus_counts() -> None:
    assert parse(CPUINFO) == Cpu("GenuineIntel", "06-55-07", "0x5003303")


@pytest.mark.parametrize("text", ["", "processor : 0\nFeatures : fp asimd\n", "microcode : odd\n"])
def test_a_cpu_that_does_not_tell_is_not_known(text: str) -> None:
    assert parse(text).microcode == "" and parse(text).signature == ""


def test_payloads_are_told_with_their_digests_and_read_again_when_they_change(dom0: Dom0) -> None:
    folder = dom0.settings.path(dom0.settings.payload_dir)
    assert look(Looker(dom0.settings)).payloads == {}
    folder.mkdir(parents=True)
    (folder / "xsa1.livepatch").write_bytes(b"one")
    (folder / "notes.txt").write_bytes(b"no payload")
    looker = Looker(dom0.settings)
    assert look(looker).payloads == {"xsa1": hashlib.sha256(b"one").hexdigest()}
    (folder / "xsa1.livepatch").write_bytes(b"other")
    assert look(looker).payloads == {"xsa1": hashlib.sha256(b"other").hexdigest()}
    (folder / "xsa1.livepatch").unlink()
    assert look(looker).payloads == {}


def test_a_guest_in_a_cpu_pool_needs_it_and_a_host_that_has_it_offers_it(dom0: Dom0) -> None:
    (dom0.base / "pools").write_text(
        "Name               CPUs   Sched     Active   Domain count\n"
        "Pool-0               6  credit2       y          1\n"
        "fast                 2  credit2       y          1\n"
    )
    entry = config(HERE)
    entry["config"]["c_info"]["pool_name"] = "fast"
    dom0.shows(HERE, configs=str([entry]).replace("'", '"'))
    (dom0.base / "pools").write_text(
        "Name               CPUs   Sched     Active   Domain count\n"
        "Pool-0               6  credit2       y          1\n"
        "fast                 2  credit2       y          1\n"
    )
    looker = Looker(dom0.settings)
    report = look(looker)
    assert report.trouble == ()
    assert "cpupool:fast" in report.offers and "cpupool:fast" in report.guests[0].needs
    assert not any("Pool-0" in tag for tag in (*report.offers, *report.guests[0].needs))
    asked = len(dom0.calls("cpupool-list"))
    look(looker, clock_s=1.0)
    assert len(dom0.calls("cpupool-list")) == asked, "not with every look"


def test_a_dom0_without_its_name_has_no_xenstored(dom0: Dom0) -> None:
    text = (dom0.base / "list").read_text().replace("Domain-0", "(null)  ")
    (dom0.base / "list").write_text(text)
    report = look(Looker(dom0.settings))
    assert any("xenstored does not answer" in line for line in report.trouble)


def test_a_guest_whose_kernel_cannot_suspend_is_not_moved(tmp_path: Path) -> None:
    asked = Dom0(tmp_path / "d", xenstore_read=(str(tmp_path / "d/bin/xenstore-read"),))
    asked.shows(HERE)
    asked.program("xenstore-read", "echo 0")
    with pytest.raises(Refusal, match="its kernel says that it cannot suspend"):
        prepare(order(Kind.MOVE), asked.settings, Journal(asked.settings.state))
    for answer in ("echo 1", "exit 1"):
        asked.program("xenstore-read", answer)
        assert prepare(order(Kind.MOVE), asked.settings, Journal(asked.settings.state)).commands


def linked(dom0: Dom0, name: str, target: str | None = None) -> Path:
    (dom0.root / f"etc/xen/{name}.cfg").write_text(f'name = "{target or name}"\n')
    link = dom0.root / f"etc/xen/auto/{name}.cfg"
    link.symlink_to(f"../{name}.cfg")
    return link


def test_links_of_guests_that_moved_away_are_put_aside_before_the_reboot(dom0: Dom0) -> None:
    dom0.shows()
    link = linked(dom0, "web", "web 1")
    ordered = order(Kind.REBOOT, boot_id=BOOT_ID, moved_away=("web 1",))
    work = prepare(ordered, dom0.settings, Journal(dom0.settings.state))
    argvs = [command.argv for command in work.commands]
    aside = dom0.settings.path(dom0.settings.aside_dir)
    assert argvs == [
        ("/bin/mkdir", "-p", "--", str(aside)),
        ("/bin/mv", "-f", "--", str(link), f"{aside}/"),
        dom0.settings.reboot_command,
    ]
    aside.mkdir()
    link.rename(aside / link.name)
    assert auto_links(dom0.settings) == ()
    assert put_aside(dom0.settings) == ("web 1",), "the link still leads to its file"
    assert look(Looker(dom0.settings)).put_aside == ("web 1",)


def test_the_link_of_a_guest_that_nobody_has_seen_elsewhere_holds_the_reboot(dom0: Dom0) -> None:
    dom0.shows()
    linked(dom0, "web")
    linked(dom0, "db")
    ordered = order(Kind.REBOOT, boot_id=BOOT_ID, moved_away=("web",))
    with pytest.raises(Refusal, match="db would start by itself at boot"):
        prepare(ordered, dom0.settings, Journal(dom0.settings.state))


def test_a_saved_image_holds_the_reboot_whatever_moved_away(dom0: Dom0) -> None:
    from agents.wire import BootStart

    image = BootStart(kind="saved_image", text="/var/lib/xen/save/web")
    seen: dict[str, Any] = {"boot_id": BOOT_ID, "boot_starts": (image,), "domains": ()}
    ordered = order(Kind.REBOOT, boot_id=BOOT_ID, moved_away=("web",))
    assert "would be restored at boot" in (reboot(ordered, Sight(**seen), dom0.settings) or "")
