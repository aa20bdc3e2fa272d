"""Building worlds; their state on disk; what a program costs to start; the command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.standin.fleet import FIXED_BUILD_ID, world_from_fleet
from scheduler.standin.install import install
from scheduler.standin.ledger import events
from scheduler.standin.microjson import dumps, loads
from scheduler.standin.store import Change, HostGone, look
from scheduler.standin.world import GuestSpec, HostSpec, create_world
from tests.standin_lab import Lab, ended, two_hosts

FLEET: dict[str, Any] = {
    "format": "xenroll.fleet/1",
    "policy": {"stream_mbps": 8000, "start_s": 10},
    "hosts": [
        {
            "name": "n1",
            "memory_mib": 8192,
            "cpus": 16,
            "xen": "4.17",
            "reboot": True,
            "offers": ["bridge:br0", "storage:san1", "pv", "hvm", "cpu:v3"],
        },
        {"name": "n2", "memory_mib": 8192, "cpus": 16, "xen": "4.17", "offers": ["hvm"]},
    ],
    "guests": [
        {
            "name": "db",
            "host": "n1",
            "vcpus": 2,
            "memory_mib": 2048,
            "overhead_mib": 16,
            "class": "pv linux-6.1 x86_64",
            "needs": ["bridge:br0", "storage:san1", "cpu:v3"],
            "evacuation": "move",
        },
        {
            "name": "gpu",
            "host": "n1",
            "vcpus": 1,
            "memory_mib": 1024,
            "class": "hvm windows",
            "evacuation": "restart",
        },
        {"name": "kept", "host": "n2", "vcpus": 1, "memory_mib": 512, "evacuation": "hold"},
    ],
}


def config_of(lab: Lab, host: str, guest: str) -> dict[str, Any]:
    entries = json.loads(lab.run(host, "xl", "list", "-l", guest).out)
    config: dict[str, Any] = entries[0]["config"]
    return config


def test_a_world_looks_as_its_fleet_document_says(tmp_path: Path) -> None:
    lab = Lab(world_from_fleet(str(tmp_path / "w"), FLEET, speed=100.0, autostart=["db"]))
    assert lab.run("n1", "xl", "info", "free_memory").out == f"{8192 - 2048 - 16 - 1024}\n"
    assert lab.run("n1", "xl", "info", "nr_cpus").out == "16\n"
    assert lab.run("n2", "xl", "info", "virt_caps").out == "hvm hap gnttab-v1 gnttab-v2\n"
    db = config_of(lab, "n1", "db")
    assert db["c_info"]["type"] == "pv"
    assert db["b_info"]["kernel"] == "/srv/linux-6.1"
    assert db["nics"][0]["bridge"] == "br0"
    assert db["disks"][0]["pdev_path"] == "/dev/san1/db"
    assert config_of(lab, "n1", "gpu")["pcidevs"] == [{"bus": 3, "rdm_policy": "strict"}]
    assert config_of(lab, "n2", "kept")["b_info"]["disable_migrate"] == "True"
    root = Path(lab.world.host_dir("n1"), "root")
    assert (root / "sys/class/net/br0").is_dir()
    assert (root / "etc/xen/auto/db.cfg").read_text().startswith('name="db"\n')
    pending = look(lab.world, "n1")["xen_after_reboot"]
    assert pending["build_id"] == FIXED_BUILD_ID
    assert look(lab.world, "n2")["xen_after_reboot"] is None


def test_a_guest_can_be_stopped_and_started_from_its_own_xl_cfg(tmp_path: Path) -> None:
    guest = GuestSpec("h1", "hostA", 96, vcpus=2, disks=("/dev/vdb",), cap=50, on_crash="preserve")
    lab = two_hosts(tmp_path, guest)
    before = config_of(lab, "hostA", "h1")
    assert lab.run("hostA", "xl", "shutdown", "-w", "h1").code == 0
    assert lab.settled("hostA", {}) == {}
    done = lab.run("hostA", "xl", "create", "/etc/xen/h1.cfg")
    assert (done.code, done.err) == (0, "Parsing config from /etc/xen/h1.cfg\n")
    assert config_of(lab, "hostA", "h1") == before
    twice = lab.run("hostA", "xl", "create", "/etc/xen/h1.cfg")
    assert (twice.code, 'Domain with name "h1" already exists.' in twice.err) == (1, True)
    assert lab.audit() == []


def test_settings_may_be_added_on_the_command_line_of_create(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    wish = 'name="h2"; uuid="00000000-0000-4000-8000-000000000002"'
    assert lab.run("hostB", "xl", "create", "-q", self_made(tmp_path), wish).code == 0
    assert lab.uuid("hostB", "h2") == "00000000-0000-4000-8000-000000000002"


def self_made(path: Path) -> str:
    file = path / "own.cfg"
    file.write_text('name="own"\ntype="pvh"\nmemory=64\nvcpus=1\n')
    return str(file)


def test_a_guest_without_room_is_not_created(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path, memory_mib=100)
    done = lab.run("hostA", "xl", "create", self_made(tmp_path))
    assert done.code == 1
    assert "xc_dom_boot_mem_init failed: Cannot allocate memory" in done.err
    assert lab.domains("hostA") == {"h1": "------"}


def test_a_world_is_refused_where_one_is_or_where_a_guest_has_no_host(tmp_path: Path) -> None:
    two_hosts(tmp_path)
    with pytest.raises(FileExistsError):
        two_hosts(tmp_path)
    with pytest.raises(ValueError, match="guest g: no host 'n9' in this world"):
        create_world(str(tmp_path / "x"), [HostSpec("n1", 64)], [GuestSpec("g", "n9", 32)])
    with pytest.raises(ValueError, match="unknown setting of a world: warp"):
        create_world(str(tmp_path / "y"), [HostSpec("n1", 64)], warp=9.0)


def test_launchers_work_where_the_kernel_takes_no_such_interpreter_path(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    odd = tmp_path / "a b" / "python"
    odd.parent.mkdir()
    odd.symlink_to(os.path.realpath(sys.executable))
    install(str(tmp_path / "own bin"), lab.world.path, "hostA", python=str(odd))
    done = subprocess.run(
        [tmp_path / "own bin" / "xl", "info", "host"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "hostA\n"


# The state on disk


def test_a_change_left_by_an_error_changes_nothing(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)

    def fail() -> None:
        with Change(lab.world, "hostA") as change:
            change.state["domains"] = []
            change.note("never")
            raise KeyError("on purpose")

    with pytest.raises(KeyError):
        fail()
    assert lab.domains("hostA") == {"h1": "------"}
    assert "never" not in [e["event"] for e in events(lab.world)]


def test_a_process_of_an_earlier_boot_changes_nothing(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    with pytest.raises(HostGone), Change(lab.world, "hostA", generation=0) as change:
        change.state["domains"] = []
    assert lab.domains("hostA") == {"h1": "------"}


def test_a_ledger_line_lost_to_a_kill_is_written_by_the_next_change(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    ledger = Path(lab.world.path, "ledger.jsonl")
    before = events(lab.world)
    lab.run("hostA", "xl", "pause", "h1")
    assert len(events(lab.world)) == len(before) + 1
    # As if killed after the state was renamed and before the ledger was written.
    ledger.write_text("".join(dumps(line) + "\n" for line in before))
    lock = Path(lab.world.host_dir("hostA"), "lock")
    lock.write_text(f"{before[-1]['seq']:020d}")
    lab.run("hostA", "xl", "unpause", "h1")
    told = [e["event"] for e in events(lab.world)]
    assert told[len(before) :] == ["stops", "runs"]


@pytest.mark.parametrize("seed", range(3))
def test_writers_killed_at_random_leave_a_state_that_can_be_read(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    lab = two_hosts(tmp_path)
    for _ in range(12):
        writers = [lab.start("hostA", "xl", word, "h1") for word in ("pause", "unpause")]
        for writer in writers:
            try:
                writer.wait(chance.uniform(0.0, 0.06))
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
        for writer in writers:
            ended(writer)
        assert set(lab.domains("hostA")) == {"h1"}
    assert lab.audit() == []


@pytest.mark.parametrize(
    "value", [{}, {"a": [1, 2.5, None, True, "\u00e9\n\"'\\"], "b": {"c": []}}, [], "x", 0]
)
def test_small_json_is_json(value: object) -> None:
    assert loads(dumps(value)) == value
    assert json.loads(dumps(value)) == value
    assert loads(json.dumps(value)) == value


def test_broken_json_is_an_error() -> None:
    for text in ("", '{"a": ', "nonsense"):
        with pytest.raises(ValueError, match=r".+"):
            loads(text)


# Starting up


def modules_loaded(lab: Lab, *words: str) -> set[str]:
    """What a program imports, by Python's own account."""
    launcher = f"{lab.world.host_dir('hostA')}/bin/{words[0]}"
    done = subprocess.run(
        [sys.executable, "-ISE", "-X", "importtime", launcher, *words[1:]],
        capture_output=True,
        text=True,
        check=True,
        env=lab.environment("hostA"),
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize("words", ["xl list", "xl list -l", "xl info", "xl vm-list", "xl pause h1"])
def test_a_program_that_is_started_thousands_of_times_imports_next_to_nothing(
    tmp_path: Path, words: str
) -> None:
    loaded = modules_loaded(two_hosts(tmp_path), *words.split())
    dear = {"re", "json", "typing", "enum", "argparse", "dataclasses", "subprocess", "pathlib"}
    assert loaded & dear == set()
    assert len(loaded) < 40


def test_the_standin_imports_the_standard_library_alone(repository: Path) -> None:
    import ast

    for path in (repository / "scheduler" / "standin").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                own = name.startswith("scheduler.standin")
                assert own or name.split(".")[0] in sys.stdlib_module_names, (path.name, name)


# The command


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scheduler.standin", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )


def test_the_command_injects_shows_and_audits(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    world = lab.world.path
    assert command("inject", world, "h1", "no-config").returncode == 0
    assert lab.run("hostA", "xl", "migrate", "h1", "hostB").code == 1
    shown = command("show", world).stdout.splitlines()
    assert shown[0].startswith("hostA: on, build 151b373fd64b")
    assert shown[1].split()[0] == "h1"
    good = command("audit", world)
    assert (good.returncode, good.stdout) == (0, "nothing to complain of\n")
    assert command("power-off", world, "hostA").returncode == 0
    bad = command("audit", world)
    assert (bad.returncode, "guest h1 is lost" in bad.stdout) == (1, True)
    assert "ignores-suspend" in command("faults").stdout


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    world = two_hosts(tmp_path).world.path
    done = command("inject", world, "h1", "frobnicate")
    assert done.returncode == 2
    assert done.stderr.startswith("standin: unknown fault 'frobnicate'; known: ")
    assert command("show", "/no/such/world").stderr.startswith("standin: ")
