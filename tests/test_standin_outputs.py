"""Every command's output, byte for byte as real Xen printed it for a host of the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.standin.cfg import ConfigError, parse_cfg
from scheduler.standin.microjson import dumps
from scheduler.standin.store import Change, World, replace_file
from scheduler.standin.world import GuestSpec, HostSpec, XenBuild, create_world
from scheduler.standin.xl_list import duration
from tests.standin_lab import Lab, recorded

COMMAND_LINE = (
    "dom0_mem=768M,max:768M dom0_max_vcpus=1 console=com1 com1=115200,8n1 loglvl=info"
    " guest_loglvl=info bootscrub=0 spec-ctrl=eager-fpu"
)
NOW_S = 1795381000.0
RECORDED_GUEST = """
name="d1"
type="pvh"
uuid="42c266c0-51eb-4798-a27c-3d480262885c"
kernel="/srv/vmlinux-tiny"
ramdisk="/srv/domu-initrd-tiny.gz"
extra="console=hvc0 quiet nodename=d1 ip=10.99.0.114"
memory=48
vcpus=1
vif=["mac=00:16:3e:00:01:04,bridge=xenbr0"]
on_crash="preserve"
disk=["phy:/dev/vdb,xvda,w"]
"""


def frozen(path: Path, host: HostSpec, *guests: GuestSpec) -> Lab:
    """A world whose clock stands still."""
    world = create_world(str(path / "world"), [host], guests, now_s=NOW_S, speed=1000.0)
    replace_file(f"{world.path}/world.json", dumps({**world.settings, "frozen_at": NOW_S}))
    return Lab(World(world.path))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """hostB as it was when its outputs were recorded, with the guest d1 as domain 2."""
    xen = XenBuild(commandline=COMMAND_LINE)
    caps = "pv hvm hap gnttab-v1 gnttab-v2"
    host = HostSpec("hostB", 1279, cpus=1, xen=xen, dom0_mib=768, virt_caps=caps)
    lab = frozen(tmp_path, host)
    with Change(lab.world, "hostB") as change:
        change.state["next_domid"] = 2
        change.state["cpu"]["cpu_mhz"] = "2445.427"
    config = tmp_path / "d1.cfg"
    config.write_text(RECORDED_GUEST)
    assert lab.run("hostB", "xl", "create", str(config)).code == 0
    with Change(lab.world, "hostB") as change:
        state = change.state
        state["total_kib"] = 2096612
        state["xen_own_kib"] = 2096612 - 768 * 1024 - 48960 - 1207 * 1024
        state["booted_at"] = NOW_S - (14 * 60 + 12)
        d1 = state["domains"][1]
        d1["mem_kib"] = 48960
        d1["started_at"] = NOW_S - 67
        d1["xs"] = {"rings/vif/0": "269/270"}
    return lab


def at_that_moment(lab: Lab, dom0_s: float, d1_s: float, activity: str) -> None:
    """Set what differs from one recording to the next."""
    with Change(lab.world, "hostB") as change:
        for domain, seconds in zip(change.state["domains"], (dom0_s, d1_s), strict=True):
            domain.update(cpu_s=seconds, cpu_since=None)
        change.state["domains"][1]["activity"] = activity


MOMENTS = {
    "list": (125.2, 14.4, "b"),
    "list-v": (125.8, 14.4, "b"),
    "list-Z": (127.2, 15.1, "b"),
    "list-n": (127.8, 15.4, "-"),
    "list-d1": (0.0, 18.7, "-"),
    "vcpu-list": (130.0, 16.7, "-"),
}
COMMANDS = {
    "info": "info",
    "info-n": "info -n",
    "info-xen_version": "info xen_version",
    "list": "list",
    "list-v": "list -v",
    "list-l": "list -l",
    "list-Z": "list -Z",
    "list-n": "list -n",
    "list-d1": "list d1",
    "list-l-d1": "list -l d1",
    "list-nosuch": "list nosuch",
    "vm-list": "vm-list",
    "vcpu-list": "vcpu-list",
    "cpupool-list": "cpupool-list",
    "cpupool-list-c": "cpupool-list -c",
    "sched-credit2": "sched-credit2",
    "sched-credit": "sched-credit",
    "uptime": "uptime",
    "network-list-d1": "network-list d1",
    "block-list-d1": "block-list d1",
    "domid-d1": "domid d1",
    "domid-nosuch": "domid nosuch",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_what_real_xl_printed(lab: Lab, name: str) -> None:
    at_that_moment(lab, *MOMENTS.get(name, (0.0, 0.0, "b")))
    done = lab.run("hostB", "xl", *COMMANDS[name].split())
    prefix = f"B-pvh-disk-vif-xl-{name}"
    assert done.out == recorded(f"{prefix}.out")
    assert done.code == int(recorded(f"{prefix}.rc"))
    wanted = f"{prefix}.err"
    assert done.err == (recorded(wanted) if "nosuch" in name else "")


def test_xen_livepatch_prints_what_the_real_one_printed(lab: Lab) -> None:
    done = lab.run("hostB", "xen-livepatch", "list")
    assert done.out == recorded("B-pvh-disk-vif-xen-livepatch-list.out")
    assert done.code == 0


def test_a_guests_part_of_xenstore_is_the_recorded_one(lab: Lab) -> None:
    # The recorded kernel was built without hibernation, and its guest had written data of its own.
    own = {"data/tick": "59", "data/boot": "4e0b9ca9-d6d6-4961-a53d-bfb1748fc341"}
    poor = {f"control/feature-{word}": "" for word in ("poweroff", "reboot", "suspend")}
    with Change(lab.world, "hostB") as change:
        change.state["domains"][1]["xs"] |= own | poor | {"device/vif/0/mtu": "9000"}
    done = lab.run("hostB", "xenstore-ls", "-fp", "/local/domain/2")
    assert done.out == recorded("B-pvh-disk-vif-xl-config-d1.out")


def test_single_nodes_of_xenstore_can_be_read_listed_and_written(lab: Lab) -> None:
    read = lab.run("hostB", "xenstore-read", "/local/domain/2/name", "domid")
    assert read.out == "d1\n0\n"
    missing = lab.run("hostB", "xenstore-read", "/local/domain/0/data/tick")
    assert missing.err == "xenstore-read: couldn't read path /local/domain/0/data/tick\n"
    assert missing.code == 1
    assert lab.run("hostB", "xenstore-list", "/local/domain").out == "0\n2\n"
    assert lab.run("hostB", "xenstore-write", "/local/domain/2/data/cmd", "reboot").code == 0
    assert lab.run("hostB", "xenstore-read", "/local/domain/2/data/cmd").out == "reboot\n"


def test_a_pv_guest_without_disk_looks_as_recorded(tmp_path: Path) -> None:
    guest = GuestSpec(
        "g1",
        "hostA",
        96,
        kind="pv",
        uuid="b547dd8c-9ed9-4cb1-b0fe-bb5ef284645d",
        on_crash="preserve",
        ramdisk="/srv/domu-initrd.gz",
        cmdline="console=hvc0 nodename=g1 ip=10.99.0.101",
    )
    lab = frozen(tmp_path, HostSpec("hostA", 1279, cpus=1, dom0_mib=768))
    with Change(lab.world, "hostA") as change:
        change.state["next_domid"] = 2
        change.state["domains"][0]["cpu_s"] = 274.5
    from scheduler.standin.world import add_guest

    add_guest(lab.world, guest)
    with Change(lab.world, "hostA") as change:
        g1 = change.state["domains"][1]
        g1.update(cpu_s=13.0, activity="b", xs={"rings/vif/0": "520/521"})
        g1["config"]["nics"][0]["mac"] = "00:16:3e:00:00:01"
    assert lab.run("hostA", "xl", "list").out == recorded("A-pv-xl-list.out")
    assert lab.run("hostA", "xl", "list", "-l").out == recorded("A-pv-xl-list-l.out")
    nics = lab.run("hostA", "xl", "network-list", "g1").out
    assert nics == recorded("A-pv-xl-network-list-g1.out")
    assert lab.run("hostA", "xl", "block-list", "g1").out == recorded("A-pv-xl-block-list-g1.out")


def states(lab: Lab, **facts: Any) -> str:
    with Change(lab.world, "hostB") as change:
        change.state["domains"][1].update(facts)
    row: str = lab.run("hostB", "xl", "list", "-v").out.splitlines()[2]
    return row


@pytest.mark.parametrize(
    ("facts", "letters"),
    [
        ({"activity": "r"}, "r-----"),
        ({"activity": "-"}, "------"),
        ({"paused": True}, "--p---"),
        ({"shutdown": 2}, "---ss-"),
        ({"shutdown": 3}, "---sc-"),
        ({"shutdown": 3, "paused": True}, "--psc-"),
        ({"shutdown": 0}, "---s--"),
        ({"shutdown": 1}, "---sr-"),
        ({"dying": True}, "-----d"),
    ],
)
def test_the_state_letters_are_those_of_xl_list(
    lab: Lab, facts: dict[str, Any], letters: str
) -> None:
    assert states(lab, **facts).split()[4] == letters


def test_a_crashed_guest_shows_its_reason_code(lab: Lab) -> None:
    with Change(lab.world, "hostB") as change:
        change.state["domains"][1]["shutdown"] = 3
    row = lab.run("hostB", "xl", "list", "-v").out.splitlines()[2]
    assert row.endswith("42c266c0-51eb-4798-a27c-3d480262885c        3                -")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("frobnicate", 1, "command not implemented\n"),
        ("migrate d1", 2, "'xl migrate' requires at least 2 arguments.\n\n"),
        ("pause", 2, "'xl pause' requires at least 1 argument.\n\n"),
        ("migrate -Q d1 hostA", 2, "option `Q' not supported.\n"),
        ("list 99", 1, "Error: Domain '99' does not exist.\n"),
        ("domname 99", 1, "Can't get domain name of domain id '99', maybe this domain does not"),
        ("resume d1", 1, "command not implemented\n"),
        ("shutdown", 1, "You must specify -a or a domain id.\n\n"),
        ("destroy 0", 1, "Not destroying domain 0; use -f to force.\n"),
        ("pause nosuch", 1, "nosuch is an invalid domain identifier (rc=-6)\n"),
        ("create /no/such.cfg", 1, "Parsing config from /no/such.cfg\nFailed to read config"),
    ],
)
def test_a_wrong_command_is_refused_as_xl_refuses_it(
    lab: Lab, words: str, code: int, message: str
) -> None:
    done = lab.run("hostB", "xl", *words.split())
    assert done.code == code
    assert done.err.startswith(message)


def test_xl_info_with_a_word_matches_the_beginning_of_keys(lab: Lab) -> None:
    lines = lab.run("hostB", "xl", "info", "xen_m").out.splitlines()
    assert lines == ["4", "17"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59, " 0:00:59"),
        (852, " 0:14:12"),
        (86400, "1 day,  0:00:00"),
        (3 * 86400 + 3661, "3 days,  1:01:01"),
    ],
)
def test_uptimes_are_written_as_xl_writes_them(seconds: int, text: str) -> None:
    assert duration(seconds, short=False) == text


def test_an_xl_cfg_may_use_every_form_that_libxlu_reads() -> None:
    text = "a = 'x' # why\nb=[\n 'one',\n \"two\",\n]; c = 12\nb += ['three']\n"
    assert parse_cfg(text, "f") == {"a": "x", "b": ["one", "two", "three"], "c": "12"}


@pytest.mark.parametrize("text", ["name d1", "name=", "disk=['a'", "name='d1"])
def test_a_broken_xl_cfg_is_refused_with_file_and_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:"):
        parse_cfg(text, "f")
