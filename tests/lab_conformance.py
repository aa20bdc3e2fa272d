"""The conformance scenarios on real Xen: `make test-lab-conformance`.

Records what it saw under tests/xl_output and compares it with what is checked in there; the
stand-in is compared with the same recordings by `make test`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import guests, moves
from deploy.lab.guests import Guest
from deploy.lab.lab import Lab, opened, up
from deploy.lab.layout import layout_from
from deploy.lab.machine import is_on
from deploy.lab.qemu import Size
from deploy.lab.scene import HELPER, RECEIVER, Scene
from tests.conformance import (
    DESTINATION,
    RECORDED,
    SCENARIOS,
    SOURCE,
    Scenario,
    load,
    meaning,
    play,
    save,
)
from tests.lab_kit import say

pytestmark = pytest.mark.timeout(1200)

STRIKES = {
    "terminate helper": (SOURCE, f"TERM:{HELPER}"),
    "kill transport": (SOURCE, "TERM:^ssh .*migrate-receive"),
    "kill receiver": (DESTINATION, f"KILL:{RECEIVER}"),
}


class RealXen:
    """Drives two hosts of the lab."""

    def __init__(self, lab: Lab, scenario: Scenario) -> None:
        self.lab, self.scenario = lab, scenario

    def create(self, host: str, guest: Guest) -> None:
        guests.create(self.lab.remote(host), guest)

    def run(self, host: str, command: str) -> tuple[int, str, str]:
        done = self.lab.remote(host).run(f"sh -c {shlex.quote(command)}", timeout_s=300)
        return done.code, done.out, done.err

    def move(self, guest: str, disturbance: str) -> tuple[int, str, str]:
        if not disturbance:
            attempt = moves.migrate(self.lab.remote(SOURCE), guest, DESTINATION)
            return attempt.code, attempt.out, attempt.err
        scene = Scene(self.lab, self.scenario.name, Guest(guest, 1))
        host, action = STRIKES[disturbance]
        scene.begin()
        scene.disturb(DESTINATION, "incoming", *([action] if host == DESTINATION else []))
        if host == SOURCE:
            name, pattern = action.split(":", 1)
            scene.signal(SOURCE, name, pattern)
        assert scene.mover is not None
        out, err = scene.mover.communicate(timeout=300)
        return scene.mover.returncode, out, err

    def free_mib(self, host: str) -> int:
        said = self.lab.remote(host).check("xl info free_memory")
        return int(said.split(":")[-1])

    def domains(self, host: str) -> dict[str, str]:
        rows = self.lab.remote(host).check("xl list | tail -n +3").splitlines()
        return {row.split()[0]: row.split()[4] for row in rows}

    def clear(self) -> None:
        """Both hosts as after a boot; in a lab, and only there, by destroying."""
        for host in (SOURCE, DESTINATION):
            remote = self.lab.remote(host)
            for domid in remote.check("xl list | awk 'NR > 2 { print $2 }'").split():
                remote.check(f"xl destroy {domid}")
            remote.run("xl cpupool-destroy slow && xl cpupool-cpu-add Pool-0 1")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    here = layout_from(os.environ)
    hosts = [here.host(name) for name in (SOURCE, DESTINATION)]
    if all(is_on(host) for host in hosts) and os.environ.get("XENROLL_LAB_KEEP"):
        yield opened(here, say)
        return
    assert not any(is_on(host) for host in here.hosts), "the lab is in use; `lab down` ends it"
    made = up(here, hosts, say, size=Size(cpus=2))
    try:
        yield made
    finally:
        made.down()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_real_xen_does_as_recorded(lab: Lab, scenario: Scenario, tmp_path: Path) -> None:
    driver = RealXen(lab, scenario)
    driver.clear()
    told = play(scenario, driver)
    first = not (RECORDED / f"{scenario.name}.json").exists()
    save(scenario, told, RECORDED if first else tmp_path)
    say(f"{scenario.name}: {len(told)} deeds" + (", recorded for the first time" * first))
    assert [meaning(said) for said in told] == [meaning(said) for said in load(scenario)]
