"""Right before a move the destination is asked for the very disks of its guest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis

from agents.command import Garbage, Missing, TimedOut
from agents.disk_probe import identity, probe
from agents.disks import Disks, asked_for
from agents.gates import Sight, move
from agents.guest_facts import targets
from agents.helper import Helper
from agents.keys import keys
from agents.wire import Disk, DiskFound, GuestSeen, Kind
from agents.xl_parse import parse_configs
from scheduler.demo.run import CONTROLLER
from scheduler.demo.stage import Stage
from scheduler.disk_gate import judged, not_checked, questions
from scheduler.disk_questions import DiskQuestions
from scheduler.gate import Answer, Blame, Gate
from scheduler.rollout import RolloutState
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.ledger import audit, events
from scheduler.standin.san import DISK_BYTES
from scheduler.standin.store import World
from tests.agents_dom0 import Dom0, config
from tests.agents_kit import domain, order, report
from tests.chaos_kit import begin, small_stage, until
from tests.make import fleet, guest, host

PATH = "/dev/san/db"
GUEST = GuestSeen(
    name="db-3",
    uuid=domain().uuid,
    domid=5,
    type="pvh",
    vcpus=1,
    memory_mib=48,
    overhead_mib=1,
)
MOVE = order(Kind.MOVE)


# What a host finds at a path.


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


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    made = Dom0(tmp_path, disk_limit_s=20.0)
    (made.root / "dev/san").mkdir(parents=True)
    (made.root / "dev/san/db").write_bytes(bytes(4096))
    return made


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


# Which disks a guest has.


def test_a_guests_disks_are_those_of_its_configuration() -> None:
    disks = [
        {"pdev_path": PATH, "vdev": "xvda", "format": "raw", "readwrite": 1},
        {"pdev_path": "rbd:pool/image", "vdev": "xvdb", "backend": "qdisk"},
        {"pdev_path": "iqn=a,portal=b", "vdev": "xvdc", "script": "block-iscsi"},
        {"vdev": "hdc", "is_cdrom": 1},
        {"pdev_path": "/srv/db.qcow2", "vdev": "xvdd", "format": "qcow2"},
    ]
    entry = config(domain("db"), disks=disks)
    found = targets(entry["config"])
    assert [str(disk) for disk in found] == [
        f"xvda ({PATH})",
        "xvdb (rbd:pool/image)",
        "xvdc (iqn=a,portal=b)",
        "xvdd (/srv/db.qcow2)",
    ]
    assert [disk.unchecked for disk in found] == [
        "",
        "it is no path of the host",
        "script block-iscsi attaches it",
        "",
    ]
    assert [disk.grows for disk in found] == [False, False, False, True]
    seen = GUEST.model_copy(update={"disks": found})
    assert list(not_checked(seen)) == [
        f"{GUEST.name}: disk xvdb (rbd:pool/image) is not checked: it is no path of the host",
        f"{GUEST.name}: disk xvdc (iqn=a,portal=b) is not checked: script block-iscsi attaches it",
    ]


def test_what_real_xen_shows_of_a_disk_is_a_path_that_can_be_looked_for() -> None:
    text = (Path(__file__).parent / "xl_output/xen-4.17/B-pvh-disk-vif-xl-list-l.out").read_text()
    found = [disk for entry in parse_configs(text).values() for disk in targets(entry)]
    assert [(str(disk), disk.unchecked) for disk in found] == [("xvda (/dev/vdb)", "")]


# What the controller makes of the answers.

DISK = Disk(vdev="xvda", target=PATH, format="raw")
FINE = DiskFound(target=PATH, kind="device", size_bytes=10, identity="naa.6")


def gate(*there: DiskFound, here: DiskFound | None = FINE, disk: Disk = DISK) -> Gate:
    source = report("n1", disks=() if here is None else (here,))
    destination = report("n2", disks=there)
    seen = GUEST.model_copy(update={"disks": (disk,)})
    return Gate(Answer.GO, guest=seen, source=source, destination=destination)


def test_both_ends_are_asked_for_what_they_have_not_answered() -> None:
    assert questions(gate(here=None)) == (("n2", (PATH,)), ("n1", (PATH,)))
    assert questions(gate(FINE, here=None)) == (("n1", (PATH,)),)
    assert questions(gate(FINE)) == ()


def test_nobody_is_asked_for_disks_that_are_no_paths_nor_an_agent_of_another_age() -> None:
    network = Disk(vdev="xvda", target="rbd:pool/image")
    assert questions(gate(here=None, disk=network)) == ()
    old = gate(here=None)
    assert old.destination is not None
    unknown = old.destination.model_copy(update={"disks": None})
    assert questions(Gate(Answer.GO, guest=old.guest, source=old.source, destination=unknown)) == ()


def other(**fields: object) -> DiskFound:
    return FINE.model_copy(update=fields)


WRONG: list[tuple[DiskFound, str]] = [
    (DiskFound(target=PATH, problem="No such file or directory"), ": No such file or directory"),
    (other(size_bytes=20), " has 20 bytes there and 10 on n1"),
    (other(kind="file", identity=""), " is a file there and a device on n1"),
    (other(identity="naa.7"), " is naa.7 there and naa.6 on n1"),
]


@pytest.mark.parametrize(("there", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_difference_names_the_guest_the_disk_and_the_host(there: DiskFound, words: str) -> None:
    found = judged(gate(there))
    assert found.answer is Answer.HOLD and found.blame is Blame.DESTINATION
    assert found.reason == f"n2 cannot take {GUEST.name}: its disk xvda ({PATH}){words}"


RIGHT: list[tuple[str, DiskFound, DiskFound, Disk]] = [
    ("the same", FINE, FINE, DISK),
    ("one of them has no name of its own", FINE, other(identity=""), DISK),
    ("the source cannot tell", DiskFound(target=PATH, problem="late"), other(size_bytes=9), DISK),
    ("its file grows", FINE, other(size_bytes=12), DISK.model_copy(update={"format": "qcow2"})),
    ("a size is not known", other(size_bytes=None), FINE, DISK),
]


@pytest.mark.parametrize(
    ("here", "there", "disk"), [row[1:] for row in RIGHT], ids=[row[0] for row in RIGHT]
)
def test_what_is_no_difference_lets_the_move_go(
    here: DiskFound, there: DiskFound, disk: Disk
) -> None:
    assert judged(gate(there, here=here, disk=disk)).answer is Answer.GO


def test_a_question_is_there_for_as_long_as_it_is_asked(redis_client: redis.Redis) -> None:
    now = [0.0]
    ours = DiskQuestions(redis_client, lambda: now[0])
    ours.ask((("n2", ("/dev/a",)),))
    now[0] = 1.0
    ours.ask((("n2", ("/dev/b",)),))
    raw = redis_client.get(keys.disks("n2"))
    assert isinstance(raw, bytes) and asked_for(raw) == ("/dev/a", "/dev/b")
    now[0] = 5.5
    ours.ask((("n2", ("/dev/b",)),))
    raw = redis_client.get(keys.disks("n2"))
    assert isinstance(raw, bytes) and asked_for(raw) == ("/dev/b",)
    assert 0 < int(str(redis_client.ttl(keys.disks("n2")))) <= 5


# The source's own last word, right before it starts.


def sight(*disks: Mapping[str, object], bridge: str = "xenbr0") -> Sight:
    seen = domain("db-3")
    entry = config(seen, disks=list(disks), nics=[{"bridge": bridge, "script": "vif-bridge"}])
    return Sight(domains=(seen,), boot_id="b", config=entry["config"], virt_caps=("hvm", "hap"))


def test_a_disk_or_bridge_that_came_after_the_question_refuses_the_move(dom0: Dom0) -> None:
    known = {"guest_disks": (DISK,), "guest_needs": ("bridge:xenbr0", "pvh", "storage:san")}
    order = MOVE.model_copy(update=known)
    has = {"pdev_path": PATH, "vdev": "xvda", "format": "raw"}
    assert move(order, sight(has), dom0.settings) is None
    more = {"pdev_path": "/dev/san/new", "vdev": "xvdb", "format": "raw"}
    said = move(order, sight(has, more), dom0.settings)
    assert said is not None
    assert said.endswith("has disks that were not looked for on n2: xvdb (/dev/san/new)")
    said = move(order, sight(has, bridge="xenbr7"), dom0.settings)
    assert said is not None and said.endswith("needs bridge:xenbr7 now, which n2 was not asked for")
    unknown = MOVE.model_copy(update={"guest_disks": None, "guest_needs": None})
    assert move(unknown, sight(has, more), dom0.settings) is None, "from an older controller"


# All of it: agents, workers and controller, and simulated hypervisors.

STORAGE = "storage:a"
PATIENT = {**CONTROLLER, "XENROLL_LIMITS__HELD_LIMIT_S": "900"}


@pytest.fixture
def stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    offers = ["bridge:xenbr0", STORAGE]
    hosts = [
        host("n1", gib=8, offers=offers, xen="4.18"),
        host("n2", gib=8, offers=offers, xen="4.19", reboot=False),
    ]
    needs = ["bridge:xenbr0", STORAGE, "pvh"]
    guests = [guest(f"g{n}", "n1", gib=0.5, needs=needs) for n in range(4)]
    small = fleet(hosts, guests, reboot_s=60.0, xen_after="4.19")
    with small_stage(tmp_path, small, redis_url, PATIENT) as made:
        yield made


def disk_of(name: str) -> str:
    return f"/dev/san/a/{name}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rollout_moves_no_guest_whose_disk_is_not_there_and_goes_on_when_it_is(
    stage: Stage,
) -> None:
    world = World(str(stage.plot.places.world))
    for name, fault in (("g0", "missing"), ("g1", "size"), ("g2", "unreadable")):
        inject(world, "n2", f"disk-{fault}", text=disk_of(name))
    begin(stage)
    store = stage.store
    told = {
        "g0": "No such file or directory",
        "g1": f"has {DISK_BYTES // 2} bytes there and {DISK_BYTES} on n1",
        "g2": "Input/output error",
    }

    held: dict[str, str] = {}

    def all_held() -> bool:
        steps = store.book(store.ids()[-1]).steps.values()
        held.update({step.guest or "": step.reason for step in steps if step.held_since})
        return all(words in held.get(name, "") for name, words in told.items())

    until(stage, all_held, 300.0, "three guests held for their disks")
    where = f"its disk xvda ({disk_of('g0')})"
    assert held["g0"] == f"n2 cannot take g0: {where}: No such file or directory"
    moved = {e["name"] for e in events(world) if e["event"] == "migrate"}
    assert moved <= {"g3"}, "nothing was started for those whose disks are not there"
    clear(world, "n2")
    until(
        stage,
        lambda: store.head(store.ids()[-1]).state is RolloutState.DONE,
        300.0,
        "the rollout is done",
    )
    assert {e["name"] for e in events(world) if e["event"] == "migrate"} == {*told, "g3"}
    assert audit(world) == []
    code, said = stage.xenroll("rollout", "moves", "-o", "json")
    assert code == 0, said
    bounds = {one["guest"]: one["blackout"] for one in json.loads(said)}
    assert sorted(bounds) == ["g0", "g1", "g2", "g3"]
    assert all(0 <= one["at_least_s"] <= one["at_most_s"] for one in bounds.values())
    assert "BLACKOUT" in stage.xenroll("rollout", "moves")[1]
    shown = stage.xenroll("guest", "show", "g0")[1]
    assert f"disk xvda ({disk_of('g0')})" in shown
