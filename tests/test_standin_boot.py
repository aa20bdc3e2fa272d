"""Hosts of a simulated world: power, reboots, what starts by itself, live patches, ssh."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.standin.boot import finish_reboot, kill_processes, power_off
from scheduler.standin.store import look
from scheduler.standin.world import GuestSpec, HostSpec, create_world, xen_build
from tests.standin_lab import Lab, two_hosts
from tests.waiting import until

RUNS = "------"
FIXED = "7f1c0a5be2d94836a1c5e0934bd27c68f30d9e12"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """hostA has a guest that would start at boot, and a fixed hypervisor waiting to be booted."""
    hosts = [
        HostSpec("hostA", 4096, xen_after_reboot=xen_build("4.17", FIXED)),
        HostSpec("hostB", 4096, address="10.0.0.2"),
    ]
    guest = GuestSpec("h1", "hostA", 96, autostart=True)
    return Lab(create_world(str(tmp_path / "world"), hosts, [guest], speed=100.0))


def boot_id(lab: Lab, host: str) -> str:
    path = Path(lab.world.host_dir(host), "root/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()


def reboot(lab: Lab, host: str) -> bool:
    assert lab.run(host, "systemctl", "reboot").code == 0
    assert look(lab.world, host)["power"] == "rebooting"
    return finish_reboot(lab.world, host)


def test_a_reboot_brings_a_new_boot_id_the_pending_build_and_no_guest(lab: Lab) -> None:
    before = boot_id(lab, "hostB"), boot_id(lab, "hostA")
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    lab.run("hostA", "systemctl", "mask", "xendomains.service")
    assert reboot(lab, "hostA")
    assert boot_id(lab, "hostA") not in before
    assert boot_id(lab, "hostB") == before[0]
    assert lab.run("hostA", "xl", "info", "build_id").out.strip() == FIXED
    assert lab.domains("hostA") == {}
    assert "Uptime" in lab.run("hostA", "xl", "uptime").out
    assert lab.audit() == []


def test_an_evacuated_guest_is_started_again_at_boot_unless_xendomains_is_masked(
    lab: Lab,
) -> None:
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    reboot(lab, "hostA")
    assert lab.domains("hostA") == lab.domains("hostB") == {"h1": RUNS}
    (problem,) = lab.audit()
    assert "ran twice: started on hostA" in problem


def test_a_mask_by_a_link_of_ones_own_counts_too(lab: Lab) -> None:
    lab.run("hostA", "xl", "migrate", "h1", "hostB")
    link = Path(lab.world.host_dir("hostA"), "root/etc/systemd/system/xendomains.service")
    link.symlink_to("/dev/null")
    reboot(lab, "hostA")
    assert lab.domains("hostA") == {}


def test_a_guest_that_is_still_there_at_a_reboot_is_saved_and_restored(lab: Lab) -> None:
    assert lab.run("hostA", "reboot").code == 0
    image = Path(lab.world.host_dir("hostA"), "root/var/lib/xen/save/h1")
    assert image.exists()
    assert lab.audit() == []
    finish_reboot(lab.world, "hostA")
    assert lab.domains("hostA") == {"h1": RUNS}
    assert not image.exists()


def test_a_host_may_not_come_back_or_come_back_with_the_old_build(lab: Lab) -> None:
    old = lab.run("hostA", "xl", "info", "build_id").out
    lab.inject("hostA", "wrong-build")
    assert reboot(lab, "hostA")
    assert lab.run("hostA", "xl", "info", "build_id").out == old
    lab.inject("hostA", "no-return")
    assert not reboot(lab, "hostA")
    assert look(lab.world, "hostA")["power"] == "off"


def test_a_program_of_a_host_without_power_dies_without_a_word(lab: Lab) -> None:
    power_off(lab.world, "hostA")
    done = lab.run("hostA", "xl", "list")
    assert (done.code, done.out, done.err) == (-9, "", "")


def test_a_power_cut_ends_the_migration_that_runs_there_and_loses_the_guest(lab: Lab) -> None:
    lab.inject("h1", "hold-precopy")
    process = lab.start("hostA", "xl", "migrate", "h1", "hostB")
    lab.pid_held("h1", "precopy")
    power_off(lab.world, "hostA")
    assert process.wait(120) == -9
    process.communicate()
    assert lab.settled("hostB", {}) == {}
    assert lab.audit() == ["guest h1 is lost: its last copy went on hostA (power)"]


def test_a_process_that_ends_just_as_the_power_goes_is_no_trouble(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(lab.world.host_dir("hostA"), "run")
    (run / "77.77.tmp").write_text("somebody is about to put this into its place")
    monkeypatch.setattr("os.listdir", lambda _: ["77.77.tmp", "99999999"])  # the latter is gone
    kill_processes(lab.world, "hostA")
    monkeypatch.undo()
    assert [file.name for file in run.iterdir()] == ["77.77.tmp"]


def test_systemctl_says_whether_xendomains_is_enabled(lab: Lab) -> None:
    ask = ("systemctl", "is-enabled", "xendomains")
    assert (lab.run("hostA", *ask).out, lab.run("hostA", *ask).code) == ("enabled\n", 0)
    masked = lab.run("hostA", "systemctl", "mask", "xendomains")
    assert masked.err.startswith("Created symlink /etc/systemd/system/xendomains.service")
    assert (lab.run("hostA", *ask).out, lab.run("hostA", *ask).code) == ("masked\n", 1)
    lab.run("hostA", "systemctl", "unmask", "xendomains")
    assert lab.run("hostA", *ask).out == "enabled\n"


# Live patches


def payload(path: Path, build_id: str) -> str:
    file = path / "xsa-500.livepatch"
    file.write_text(f"build-id: {build_id}\nmetadata: xsa=500\n")
    return str(file)


def build_id(lab: Lab) -> str:
    return lab.run("hostA", "xl", "info", "build_id").out.strip()


def test_a_live_patch_is_uploaded_applied_reverted_and_unloaded(lab: Lab, tmp_path: Path) -> None:
    file = payload(tmp_path, build_id(lab))
    done = lab.run("hostA", "xen-livepatch", "upload", "lp1", file)
    assert (done.code, done.out) == (0, f"Uploading {file}... completed\n")
    again = lab.run("hostA", "xen-livepatch", "upload", "lp1", file)
    assert (again.code, again.err) == (1, "Error 17: File exists\n")
    steps = [
        ("apply", "Applying lp1... completed\n"),
        ("apply", "No action needed.\n"),
        ("revert", "Reverting lp1... completed\n"),
        ("replace", "Replacing all live patches with lp1... completed\n"),
    ]
    for action, text in steps:
        done = lab.run("hostA", "xen-livepatch", action, "lp1")
        assert (done.code, done.out) == (0, text)
    listed = lab.run("hostA", "xen-livepatch", "list").out.splitlines()
    assert listed[0] == f" {'ID':<39}| status     | metadata"
    assert listed[2] == f"{'lp1':<40}| APPLIED    | xsa=500"
    wrong = lab.run("hostA", "xen-livepatch", "unload", "lp1")
    assert wrong.code == 1
    assert wrong.err.startswith("lp1 is in the wrong state.\nCurrent state: APPLIED\n")


def test_what_was_reverted_is_not_applied_again_but_loaded_anew(lab: Lab, tmp_path: Path) -> None:
    file = payload(tmp_path, build_id(lab))
    for action in ("apply", "revert"):
        lab.run("hostA", "xen-livepatch", "upload", "lp1", file)
        assert lab.run("hostA", "xen-livepatch", action, "lp1").code == 0
    again = lab.run("hostA", "xen-livepatch", "apply", "lp1")
    assert (again.code, again.err) == (1, "Error 22: Invalid argument\n")
    lab.run("hostA", "xen-livepatch", "unload", "lp1")
    lab.run("hostA", "xen-livepatch", "upload", "lp1", file)
    assert lab.run("hostA", "xen-livepatch", "apply", "lp1").code == 0


def test_a_payload_for_another_build_is_refused(lab: Lab, tmp_path: Path) -> None:
    done = lab.run("hostA", "xen-livepatch", "load", payload(tmp_path, "00" * 20))
    assert (done.code, done.err) == (1, "Error 22: Invalid argument\n")
    assert lab.run("hostA", "xen-livepatch", "list").out == "Nothing to list\n"


def test_a_busy_hypervisor_asks_to_try_again_and_a_reboot_drops_patches(
    lab: Lab, tmp_path: Path
) -> None:
    file = payload(tmp_path, build_id(lab))
    lab.inject("hostA", "livepatch-busy")
    busy = lab.run("hostA", "xen-livepatch", "load", file)
    assert (busy.code, busy.err) == (2, "Error 11: Resource temporarily unavailable\n")
    before = build_id(lab)
    assert lab.run("hostA", "xen-livepatch", "load", file).code == 0
    assert build_id(lab) == before
    reboot(lab, "hostA")
    assert lab.run("hostA", "xen-livepatch", "list").out == "Nothing to list\n"


def test_xen_livepatch_refuses_what_it_does_not_know(lab: Lab) -> None:
    done = lab.run("hostA", "xen-livepatch", "frobnicate")
    assert done.code == 1
    assert done.err.startswith("Unrecognised command 'frobnicate'")
    missing = lab.run("hostA", "xen-livepatch", "apply", "nosuch")
    assert missing.code == 1
    assert missing.err == "Failed to get status of nosuch.\nError 2: No such file or directory\n"
    nofile = lab.run("hostA", "xen-livepatch", "load", "/no/such")
    assert nofile.err == "Could not open /no/such.\nError 2: No such file or directory\n"


# ssh by itself


def test_ssh_runs_a_command_in_the_environment_of_the_other_host(lab: Lab) -> None:
    done = lab.run("hostA", "ssh", "root@10.0.0.2", "xl", "info", "host")
    assert (done.code, done.out) == (0, "hostB\n")
    done = lab.run("hostA", "ssh", "hostB", "echo said; echo complained >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "said\n", "complained\n")


def test_ssh_closes_when_the_other_host_reboots(tmp_path: Path) -> None:
    lab = two_hosts(tmp_path)
    process = lab.start("hostA", "ssh", "hostB", "sleep 600")
    run = Path(lab.world.host_dir("hostB"), "run")
    until(lambda: any(run.iterdir()), "the session")
    assert lab.run("hostB", "reboot").code == 0
    kill_processes(lab.world, "hostB")
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (255, b"Connection to hostB closed by remote host.\r\n")
