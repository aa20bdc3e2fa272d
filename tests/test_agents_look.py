"""One look at a host: what is reported, what it costs, and what becomes of what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.leftovers import caps_offers
from agents.look import Looker, Question
from agents.settings import Settings
from agents.wire import LeftoverKind, ObstacleCode, Report
from tests.agents_dom0 import BOOT_ID, Dom0, config
from tests.agents_kit import (
    CRASHED,
    DYING,
    NOON,
    OTHER_UUID,
    PAUSED,
    SHUT_DOWN,
    SUSPENDED,
    domain,
    recorded,
)

HERE = domain()


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return Dom0(tmp_path)


def question(clock_s: float = 0.0, **more: Any) -> Question:
    fields: dict[str, Any] = {"agent_id": "a", "sequence": 3, "answers": 7, **more}
    return Question(ordered=frozenset(), taken_at=NOON, clock_s=clock_s, **fields)


def look(settings: Settings) -> Report:
    return Looker(settings).look(question())


def test_a_real_host_is_reported_as_it_was_recorded(dom0: Dom0) -> None:
    for name in ("info", "list-v", "list-l"):
        text = recorded(f"B-pvh-disk-vif-xl-{name}.out")
        (dom0.base / {"info": "info", "list-v": "list", "list-l": "configs"}[name]).write_text(text)
    report = look(dom0.settings)
    assert report.trouble == ()
    assert (report.answers, report.sequence, report.taken_at) == (7, 3, NOON)
    assert (report.xen_version, report.xen, report.boot_id) == ("4.17.7", "4.17", BOOT_ID)
    assert report.build_id == "151b373fd64b321593bf987fd923cd10dabadac4"
    guest = report.guests[0]
    assert (guest.name, guest.type, guest.vcpus, guest.memory_mib) == ("d1", "pvh", 1, 48)
    assert guest.needs == ("bridge:xenbr0", "pvh")
    assert [o.code for o in guest.obstacles] == [ObstacleCode.LOCAL_DISK]
    assert [d.name for d in report.domains] == ["Domain-0", "d1"]
    assert {"bridge:xenbr0", "hvm", "pvh", "pv", "cpu:x86-64-v2", "livepatch"} <= set(report.offers)


def test_a_guest_knows_its_file_and_whether_it_starts_at_boot(dom0: Dom0) -> None:
    dom0.shows(HERE)
    (dom0.root / "etc/xen/db-3.cfg").write_text('name = "db-3"\n')
    (dom0.root / "etc/xen/auto/db-3").symlink_to("../db-3.cfg")
    guest = look(dom0.settings).guests[0]
    assert (guest.config_path, guest.autostart) == ("/etc/xen/db-3.cfg", True)


def test_everything_that_is_no_running_guest_is_told_apart(dom0: Dom0) -> None:
    dom0.shows(
        domain("a--incoming", PAUSED, 0.0, 1),
        domain("b--migratedaway", SUSPENDED, domid=2),
        domain("(null)", DYING, domid=3),
        domain("c", CRASHED, domid=4),
        domain("d", SUSPENDED, domid=5),
        domain("e", SHUT_DOWN, domid=6),
        domain("f", PAUSED, domid=7),
    )
    report = look(dom0.settings)
    assert [(x.kind, x.name, x.domid) for x in report.leftovers] == [
        (LeftoverKind.INCOMING, "a", 1),
        (LeftoverKind.MIGRATEDAWAY, "b", 2),
        (LeftoverKind.ZOMBIE, "(null)", 3),
        (LeftoverKind.CRASHED, "c", 4),
        (LeftoverKind.SUSPENDED, "d", 5),
    ]
    codes = {g.name: [o.code for o in g.obstacles] for g in report.guests}
    assert codes == {
        "c": [ObstacleCode.NOT_RUNNING],
        "d": [ObstacleCode.NOT_RUNNING],
        "e": [ObstacleCode.NOT_RUNNING],
        "f": [ObstacleCode.PAUSED],
    }


def test_a_guest_that_xl_leaves_out_of_its_configurations_is_unreadable(dom0: Dom0) -> None:
    web = domain("web", domid=6, uuid=OTHER_UUID)
    dom0.shows(HERE, web, configs=json.dumps([config(HERE)]))
    codes = {g.name: [o.code for o in g.obstacles] for g in look(dom0.settings).guests}
    assert codes == {"db-3": [], "web": [ObstacleCode.UNREADABLE]}


def test_a_guest_seen_while_it_was_being_made_is_asked_for_again_at_once(dom0: Dom0) -> None:
    looker = Looker(dom0.settings.model_copy(update={"config_age_s": 600.0}))
    dom0.shows(HERE, configs="[]")
    seen = looker.look(question(0.0)).guests[0]
    assert [o.code for o in seen.obstacles] == [ObstacleCode.UNREADABLE]
    dom0.shows(HERE)
    assert looker.look(question(5.0)).guests[0].obstacles == ()
    looker.look(question(10.0))
    assert dom0.calls("list").count("list -l") == 2


def test_a_configuration_of_another_guest_under_the_same_domid_does_not_count(dom0: Dom0) -> None:
    other = domain(uuid=OTHER_UUID)
    dom0.shows(HERE, configs=json.dumps([config(other)]))
    assert look(dom0.settings).guests[0].obstacles[0].code is ObstacleCode.UNREADABLE


def test_the_device_model_of_a_guest_is_no_guest_but_keeps_the_host_from_being_empty(
    dom0: Dom0,
) -> None:
    dom0.shows(HERE, domain("db-3-dm", domid=6, uuid=OTHER_UUID))
    report = look(dom0.settings)
    assert [g.name for g in report.guests] == ["db-3"]
    assert len(report.domains) == 3


def test_configurations_are_asked_for_only_when_guests_changed_or_time_has_passed(
    dom0: Dom0,
) -> None:
    looker = Looker(dom0.settings.model_copy(update={"config_age_s": 60.0}))
    dom0.shows(HERE)

    def asked(clock_s: float) -> int:
        looker.look(question(clock_s))
        return dom0.calls("list").count("list -l")

    assert [asked(0.0), asked(10.0), asked(59.0)] == [1, 1, 1]
    dom0.shows(HERE, domain("web", domid=6, uuid=OTHER_UUID))
    assert asked(60.0) == 2
    assert [asked(61.0), asked(119.0), asked(121.0)] == [2, 2, 3]
    dom0.shows(domain(domid=9))
    assert asked(122.0) == 4


def test_a_guest_that_says_it_cannot_suspend_is_believed_and_one_that_is_silent_is_not(
    dom0: Dom0,
) -> None:
    web = domain("web", domid=6, uuid=OTHER_UUID)
    mail = domain("mail", domid=7, uuid="00000000-0000-0000-0000-000000000007")
    dom0.shows(HERE, web, mail)
    read = dom0.program(
        "xenstore-read", 'case "$1" in */5/*) echo 0;; */6/*) echo 1;; *) exit 1;; esac'
    )
    settings = dom0.settings.model_copy(update={"xenstore_read": (str(read),)})
    codes = {g.name: [o.code for o in g.obstacles] for g in look(settings).guests}
    assert codes == {"db-3": [ObstacleCode.CANNOT_SUSPEND], "web": [], "mail": []}


HANGS = "sleep 60"
BROKEN = [
    ("xl", "echo garbage", "xl list -v"),
    ("xl", "exit 1", "exit code 1"),
    ("xl", "echo 'xen_version : 4.17'; echo nr_cpus", "xl list -v"),
    ("xl", HANGS, "no answer within 0.3 s"),
    ("xl", r"printf '\377\376'", "not UTF-8"),
    ("xl", "kill -9 $$", "exit code -9"),
    ("xen-livepatch", "echo garbage", "xen-livepatch list"),
    ("xen-livepatch", HANGS, "no answer within 0.3 s"),
]


@pytest.mark.parametrize(("program", "body", "text"), BROKEN)
def test_a_program_that_breaks_is_trouble_in_the_report_and_never_an_exception(
    dom0: Dom0, program: str, body: str, text: str
) -> None:
    dom0.program(program, body)
    limit = {"xl_timeout_s": 0.3} if body == HANGS else {}
    report = look(dom0.settings.model_copy(update=limit))
    assert any(text in one for one in report.trouble), report.trouble
    assert report.host == "n1"


def test_a_program_that_is_missing_is_trouble_that_names_it(dom0: Dom0) -> None:
    (dom0.bin / "xl").unlink()
    report = look(dom0.settings)
    assert f"{dom0.bin}/xl list -v: cannot be run: No such file or directory" in report.trouble
    assert report.guests == () and report.xen_version == ""


def test_configurations_that_are_garbage_are_trouble_and_no_guest_is_made_up(dom0: Dom0) -> None:
    dom0.shows(HERE, configs="not JSON")
    report = look(dom0.settings)
    assert len(report.trouble) == 1 and "xl list -l" in report.trouble[0]
    assert report.guests == ()


def test_a_boot_id_that_cannot_be_read_is_trouble(dom0: Dom0) -> None:
    dom0.boot_id("")
    report = look(dom0.settings)
    assert report.boot_id == "" and "boot id" in report.trouble[0]


def test_a_host_without_live_patching_offers_none_and_has_no_trouble(dom0: Dom0) -> None:
    (dom0.bin / "xen-livepatch").unlink()
    report = look(dom0.settings)
    assert report.trouble == () and "livepatch" not in report.offers


def test_only_live_patches_that_are_active_are_reported(dom0: Dom0) -> None:
    rows = "a | APPLIED | \nb | CHECKED | \nc | APPLIED | "
    dom0.program("xen-livepatch", f"echo ' ID | status | metadata'; echo '{rows}'")
    assert look(dom0.settings).livepatches == ("a", "c")


def test_a_journal_that_cannot_be_read_is_trouble(dom0: Dom0) -> None:
    directory = dom0.settings.state / "attempts" / "r1-s1-a1"
    directory.mkdir(parents=True)
    (directory / "started.json").write_text("{")
    assert "r1-s1-a1" in look(dom0.settings).trouble[0]


def test_what_a_hypervisor_can_run_follows_from_its_words() -> None:
    assert caps_offers(("pv", "hvm", "hap", "gnttab-v2")) == ("pv", "hvm", "hap", "pvh")
    assert caps_offers(("pv",)) == ("pv",)
    assert caps_offers(("hvm", "shadow")) == ("hvm", "shadow")


def test_a_report_crosses_the_wire_unchanged(dom0: Dom0) -> None:
    dom0.shows(HERE)
    report = look(dom0.settings)
    assert Report.model_validate_json(report.model_dump_json()) == report
