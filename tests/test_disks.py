"""Right before a move the destination is asked for the very disks of its guest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from agents.disks import asked_for
from agents.gates import Sight, move
from agents.guest_facts import targets
from agents.keys import keys
from agents.wire import Disk, DiskFound, GuestSeen, Kind
from agents.xl_parse import parse_configs
from scheduler.disk_gate import judged, questions
from scheduler.disk_questions import DiskQuestions
from scheduler.gate import Answer, Blame, Gate
from tests.agents_dom0 import Dom0, config
from tests.agents_kit import domain, order, report
from tests.disks_kit import PATH, dom0_with_disk

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


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return dom0_with_disk(tmp_path)


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
