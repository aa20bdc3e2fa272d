"""The stand-in `xl` does what real Xen was recorded to do: same text, exit codes and states.

`tests/lab_conformance.py` plays the same scenarios on real Xen and made the recordings.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from agents.xl_parse import parse_livepatches
from deploy.lab.guests import Guest, config, config_path
from deploy.lab.moves import TRANSPORT, command
from scheduler.standin.store import look
from scheduler.standin.world import HostSpec, create_world
from tests.conformance import DESTINATION, SCENARIOS, SOURCE, Scenario, load, meaning, play
from tests.livepatch_play import FITS, FOREIGN, STACKED, load_livepatch, play_livepatch
from tests.standin_lab import Lab, ended, processes_of, words_of
from tests.waiting import children, until

CAPS = "pv hvm hap gnttab-v1 gnttab-v2"
METADATA = "LIVEPATCH_RULEZ"


class StandIn:
    """Drives two simulated hosts as the lab drives two real ones."""

    def __init__(self, base: Path) -> None:
        hosts = [
            HostSpec(name, 714, cpus=2, dom0_mib=512, virt_caps=CAPS)
            for name in (SOURCE, DESTINATION)
        ]
        # As slow as an emulated machine, so that a failure is noticed before all is sent.
        path = str(base / "world")
        self.lab = Lab(create_world(path, hosts, speed=100.0, stream_mbps=5.0))

    def create(self, host: str, guest: Guest) -> None:
        path = Path(self.lab.world.host_dir(host)) / "root" / config_path(guest.name).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config(guest))
        done = self.lab.run(host, "xl", "create", config_path(guest.name))
        assert done.code == 0, done.err
        if guest.deaf:
            self.lab.inject(guest.name, "ignores-suspend")

    def run(self, host: str, shell: str) -> tuple[int, str, str]:
        process = self._start(host, shell)
        done = ended(process)
        return done.code, done.out, done.err

    def _start(self, host: str, shell: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", shell],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.lab.environment(host),
            start_new_session=True,
        )

    def move(self, guest: str, disturbance: str) -> tuple[int, str, str]:
        if disturbance:
            self.lab.inject(guest, "hold-precopy")
        process = self._start(SOURCE, command(guest, DESTINATION, TRANSPORT))
        if disturbance:
            helper = self.lab.pid_held(guest, "precopy")
            self._strike(disturbance, process.pid, helper)
            self.lab.clear(guest)
        done = ended(process)
        if disturbance:
            until(lambda: not processes_of(self.lab.world.path), "the other end's last act")
        return done.code, done.out, done.err

    def _strike(self, disturbance: str, sender: int, helper: int) -> None:
        if disturbance == "terminate helper":
            os.kill(helper, signal.SIGTERM)
        elif disturbance == "kill transport":
            [transport] = [p for p in children(sender) if "migrate-receive" in words_of(p)]
            os.kill(transport, signal.SIGTERM)
        else:
            os.kill(self._receiver(), signal.SIGKILL)

    def _receiver(self) -> int:
        """The simulated destination's `xl migrate-receive`."""
        xl = f"{self.lab.world.host_dir(DESTINATION)}/"
        found = []
        for entry in Path("/proc").iterdir():
            words = words_of(int(entry.name)) if entry.name.isdigit() else []
            if "migrate-receive" in words and any(word.startswith(xl) for word in words):
                found.append(int(entry.name))
        return min(found)

    def free_mib(self, host: str) -> int:
        return int(self.run(host, "xl info free_memory")[1].split(":")[-1])

    def domains(self, host: str) -> dict[str, str]:
        said = self.run(host, "xl list")[1].splitlines()[2:]
        return {row.split()[0]: row.split()[4] for row in said}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_stand_in_does_what_real_xen_did(scenario: Scenario, tmp_path: Path) -> None:
    driver = StandIn(tmp_path)
    told = play(scenario, driver)
    for stood_in, real in zip(told, load(scenario), strict=True):
        assert meaning(stood_in) == meaning(real)
    assert driver.lab.audit() == []
    assert look(driver.lab.world, SOURCE)["power"] == "on"


def test_xen_livepatch_of_the_stand_in_says_what_the_real_one_said(tmp_path: Path) -> None:
    driver = StandIn(tmp_path)
    fits = driver.run(SOURCE, "xl info build_id")[1].strip()
    for name, build in ((FITS, fits), (FOREIGN, "00" * 20)):
        text = f"build-id: {build}\nid: the same patch\nmetadata: {METADATA}\n"
        (tmp_path / name).write_text(text)
    stacked = f"build-id: {fits}\nid: another patch\ndepends: the same patch\n"
    (tmp_path / STACKED).write_text(stacked)
    here = shlex.quote(str(tmp_path))
    told = play_livepatch(lambda command: driver.run(SOURCE, f"cd {here} && {command}"))
    for stood_in, real in zip(told, load_livepatch(), strict=True):
        assert stood_in == real


def test_the_agent_reads_every_list_of_live_patches_that_was_recorded() -> None:
    lists = [parse_livepatches(one.out) for one in load_livepatch() if one.command == "list"]
    assert (("hello", "APPLIED"),) in lists
    assert (("hello", "CHECKED"),) in lists
    assert lists[-1] == ()
