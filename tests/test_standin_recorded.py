"""How a migration fails, as recorded on real Xen: messages, exit code, both hosts after it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from scheduler.standin.store import look
from scheduler.standin.world import GuestSpec, HostSpec, create_world
from tests.standin_lab import (
    ALIVE,
    Lab,
    by_end,
    ended,
    recorded,
    same_as_recorded,
    two_hosts,
    unnumbered,
    words_of,
)
from tests.waiting import children, until

RUNS = "------"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return two_hosts(tmp_path)


def test_a_name_that_is_taken_there_is_found_only_after_the_transfer(lab: Lab) -> None:
    lab.inject("h1", "name-clash", text="hostB")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 1
    real = recorded("migrate-fail-nameclash.err")
    # Both ends wrote into one line of the recording.
    cut = "libxl: migration sender: Target reports startup failure (status code 6).\nerror:"
    assert cut in real
    whole = real.replace(
        cut, "migration sender: Target reports startup failure (status code 6).\nlibxl: error:"
    )
    assert by_end(done.err) == by_end(whole)
    assert lab.domains("hostA") == {"h1": RUNS}
    assert lab.domains("hostB") == {"h1": "--p---"}
    assert lab.audit() == []


def test_too_little_memory_there_fails_as_recorded(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path, GuestSpec("h1", "hostA", 96), memory_mib=100)
    lab.inject("h1", "restore-nomem")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 1
    same_as_recorded(done.err, "fail-nomem")
    assert lab.domains("hostA") == {"h1": RUNS}
    assert lab.domains("hostB") == {}


def test_a_paused_guest_never_answers_and_stays_paused(lab: Lab) -> None:
    lab.run("hostA", "xl", "pause", "h1")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 1
    same_as_recorded(done.err, "fail-paused")
    assert lab.domains("hostA") == {"h1": "--p---"}
    assert lab.domains("hostB") == {}


def transport_of(process: subprocess.Popen[bytes]) -> int:
    found = [pid for pid in children(process.pid) if "migrate-receive" in words_of(pid)]
    assert len(found) == 1
    return found[0]


def test_the_transport_is_terminated_during_the_copy(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", "precopy")
    os.kill(transport_of(process), signal.SIGTERM)
    lab.clear("h1")
    done = ended(process)
    assert done.code == 1
    same_as_recorded(done.err, "fail-kill-ssh")
    assert lab.domains("hostA") == {"h1": RUNS}
    assert lab.settled("hostB", {}) == {}


def test_xl_is_killed_during_the_copy(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", "precopy")
    process.kill()
    lab.clear("h1")
    done = ended(process)
    assert done.code == -signal.SIGKILL
    same_as_recorded(done.err, "fail-kill-xl")
    assert lab.domains("hostA") == {"h1": RUNS}
    assert lab.settled("hostB", {}) == {}
    assert lab.audit() == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["nosuch", "hostB"], "fail-nosuchguest"),
        (["h1", "nosuchhost"], "fail-unresolvable"),
        (["-s", "ssh -p 2299", "h1", "hostB"], "fail-ssh-refused"),
    ],
)
def test_what_cannot_even_start_says_so_as_recorded(lab: Lab, words: list[str], name: str) -> None:
    done = lab.run("hostA", "xl", "migrate", *words)
    assert done.code == 1
    assert re.sub(r"\[\d+\]", "[]", done.err) == re.sub(
        r"\[\d+\]", "[]", recorded(f"migrate-{name}.err")
    )
    assert lab.domains("hostA") == {"h1": RUNS}


def test_xl_does_try_to_migrate_domain_0(tmp_path: Path) -> None:
    hosts = [HostSpec(name, 1279, dom0_mib=768) for name in ("hostA", "hostB")]
    lab = Lab(create_world(str(tmp_path / "world"), hosts, speed=100.0))
    done = lab.run("hostA", "xl", "migrate", "0", "hostB")
    assert done.code == 1
    assert "(info 0x3/0x0/381)" in done.err
    same_as_recorded(done.err, "fail-dom0")
    assert lab.domains("hostB") == {}


def test_a_host_without_power_has_no_route(lab: Lab) -> None:
    lab.inject("hostB", "power-off")
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert unnumbered(done.err)[0] == "ssh: connect to host hostb port 22: No route to host"
    assert unnumbered(done.err)[1:] == unnumbered(recorded("migrate-fail-unreachable.err"))[1:]


def test_a_destination_that_dies_ends_the_migration_if_ssh_looks_after_it(lab: Lab) -> None:
    lab.inject("h1", "dest-dies-precopy")
    done = lab.run("hostA", "xl", "migrate", "-s", ALIVE, "h1", "hostB")
    assert done.code == 1
    same_as_recorded(done.err, "fail-dest-dies-serveralive")
    assert lab.domains("hostA") == {"h1": RUNS}


def test_a_destination_that_dies_hangs_a_plain_ssh_for_ever(lab: Lab) -> None:
    lab.inject("h1", "dest-dies-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    until(lambda: look(lab.world, "hostB")["power"] == "off", "the end of hostB")
    hours = lab.world.now() + 300
    until(lambda: lab.world.now() > hours, "five minutes")
    assert process.poll() is None
    assert lab.domains("hostA") == {"h1": RUNS}
    os.kill(transport_of(process), signal.SIGTERM)
    assert ended(process).code == 1
    assert lab.domains("hostA") == {"h1": RUNS}


def test_a_pv_guest_needs_shadow_paging_at_its_host(tmp_path: Path) -> None:
    hosts = [
        HostSpec("hostA", 4096, virt_caps="pv hvm hap gnttab-v1 gnttab-v2"),
        HostSpec("hostB", 4096),
    ]
    guest = GuestSpec("g1", "hostA", 96, kind="pv")
    lab = Lab(create_world(str(tmp_path / "world"), hosts, [guest], speed=100.0))
    done = lab.run("hostA", "xl", "migrate", "g1", "hostB")
    assert done.code == 1
    same_as_recorded(done.err, "fail-pv-no-logdirty")
    assert lab.domains("hostA") == {"g1": RUNS}


def test_a_guest_with_a_passed_through_device_is_refused_by_the_hypervisor(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path, GuestSpec("p1", "hostA", 96, pci=("0000:03:00.0",)))
    done = lab.run("hostA", "xl", "migrate", "p1", "hostB")
    assert done.code == 1
    assert "Failed to enable logdirty: 22,22,0" in done.err
    assert "Migration failed, failed to suspend at sender." in done.err
    assert lab.run("hostA", "xl", "pci-list", "p1").out == "Vdev Device\n00.0 0000:03:00.0\n"


def test_a_guest_of_a_richer_processor_is_refused_late_and_goes_on(tmp_path: Path) -> None:
    hosts = [HostSpec("hostA", 4096, cpu_tags=("v3",)), HostSpec("hostB", 4096)]
    guest = GuestSpec("h1", "hostA", 96, cpu_needs=("v3",))
    lab = Lab(create_world(str(tmp_path / "world"), hosts, [guest], speed=100.0))
    done = lab.run("hostA", "xl", "migrate", "h1", "hostB")
    assert done.code == 1
    same_as_recorded(done.err, "fail-cpu-policy-C-to-B")
    assert lab.domains("hostA") == {"h1": RUNS}
    assert "bad CR4" in lab.run("hostB", "xl", "dmesg").out
