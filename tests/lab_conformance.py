"""The conformance scenarios on real Xen: `make test-lab-conformance`.

Records what it saw under tests/xl_output and compares it with what is checked in there; the
stand-in is compared with the same recordings by `make test`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import guests, moves
from deploy.lab.guests import Guest
from deploy.lab.lab import Lab
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
from tests.lab_kit import as_after_a_boot, pair_of_two_cpus, say

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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with pair_of_two_cpus((SOURCE, DESTINATION)) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_real_xen_does_as_recorded(lab: Lab, scenario: Scenario, tmp_path: Path) -> None:
    driver = RealXen(lab, scenario)
    as_after_a_boot(lab, (SOURCE, DESTINATION))
    told = play(scenario, driver)
    first = not (RECORDED / f"{scenario.name}.json").exists()
    save(scenario, told, RECORDED if first else tmp_path)
    say(f"{scenario.name}: {len(told)} deeds" + (", recorded for the first time" * first))
    assert [meaning(said) for said in told] == [meaning(said) for said in load(scenario)]
