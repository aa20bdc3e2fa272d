"""A live patch on real Xen through the agent: refused, applied, shown, reverted.

`make test-lab-livepatch`. The hypervisor is Debian's, rebuilt; the payload is one of Xen's own
tests, built for that one build. `xen-livepatch` is recorded under tests/xl_output.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.settle import Outcome, settle_livepatch
from agents.wire import AttemptState, Kind
from deploy.lab.build_id import build_id
from deploy.lab.lab import Lab, up
from deploy.lab.layout import layout_from
from deploy.lab.machine import is_on
from deploy.lab.payload import NAME, payload
from tests.conformance import RECORDED
from tests.lab_agent import AgentHere
from tests.lab_kit import say

pytestmark = pytest.mark.timeout(2400)

HOST, PATCH = "lab-1", Kind.LIVEPATCH
PAYLOADS = "/var/lib/xen/livepatch"


class Recorder:
    """What `xen-livepatch` and `xl info` say, kept for the stand-in's sake."""

    def __init__(self, lab: Lab) -> None:
        self.remote = lab.remote(HOST)
        self.told: list[dict[str, object]] = []

    def says(self, command: str) -> tuple[int, str]:
        done = self.remote.run(f"sh -c {shlex.quote(command)}")
        self.told.append({"command": command, "code": done.code, "out": done.out, "err": done.err})
        return done.code, done.out + done.err

    def save(self) -> None:
        (RECORDED / "livepatch.json").write_text(json.dumps(self.told, indent=1) + "\n")


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    return payload(layout_from(os.environ), say)


@pytest.fixture(scope="module")
def lab(built: tuple[Path, Path]) -> Iterator[Lab]:
    here = layout_from(os.environ)
    assert not any(is_on(host) for host in here.hosts), "the lab is in use; `lab down` ends it"
    made = up(here, [here.host(HOST)], say, xen=built[0])
    try:
        yield made
    finally:
        made.down()


def test_a_live_patch_is_applied_by_the_agent_shown_and_reverted(
    lab: Lab, built: tuple[Path, Path], tmp_path: Path
) -> None:
    hypervisor, file = built
    host, record = AgentHere(lab.remote(HOST), tmp_path), Recorder(lab)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    host.remote.push([file], PAYLOADS)
    host.remote.check(f"cp {PAYLOADS}/{NAME}.livepatch {PAYLOADS}/other.livepatch")
    assert record.says("xen-livepatch list") == (0, "Nothing to list\n")

    _, refused, _ = host.runs(PATCH, payload=NAME, payload_sha256="0" * 64)
    assert refused.state is AttemptState.REFUSED and "not the ordered one" in refused.reason
    _, missing, _ = host.runs(PATCH, payload="nosuch")
    assert missing.state is AttemptState.REFUSED and "No such file" in missing.reason
    assert record.says("xen-livepatch list") == (0, "Nothing to list\n")

    order, attempt, report = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    say(f"applied: exit {attempt.exit_code}, the report shows {report.livepatches}")
    assert (attempt.state, attempt.exit_code) == (AttemptState.ENDED, 0)
    assert report.livepatches == (NAME,) and report.build_id == build_id(hypervisor)
    assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE
    assert "APPLIED" in record.says("xen-livepatch list")[1]
    assert "Hello World" in record.says("xl info xen_extra")[1]

    _, again, _ = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert again.state is AttemptState.REFUSED and "already applied" in again.reason

    for command in (f"apply {NAME}", f"upload {NAME} {PAYLOADS}/{NAME}.livepatch"):
        record.says(f"xen-livepatch {command}")
    assert record.says(f"xen-livepatch revert {NAME}")[0] == 0
    assert "CHECKED" in record.says("xen-livepatch list")[1]
    assert "Hello World" not in record.says("xl info xen_extra")[1]
    record.says(f"xen-livepatch revert {NAME}")
    # What was reverted cannot be applied again (EINVAL): the agent loads it anew.
    assert record.says(f"xen-livepatch apply {NAME}")[0] == 1
    loaded, attempt, report = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert settle_livepatch(loaded, attempt, report).outcome is Outcome.DONE
    assert record.says(f"xen-livepatch revert {NAME}")[0] == 0
    assert record.says(f"xen-livepatch unload {NAME}")[0] == 0
    for command in ("list", "apply nosuch", "upload odd /etc/passwd", "unload nosuch"):
        record.says(f"xen-livepatch {command}")
    record.save()


def test_a_payload_for_another_build_is_refused_by_xen_and_so_reported(
    lab: Lab, built: tuple[Path, Path], tmp_path: Path
) -> None:
    hypervisor, file = built
    old = bytes.fromhex(build_id(hypervisor))
    foreign = tmp_path / "foreign.livepatch"
    foreign.write_bytes(file.read_bytes().replace(old, bytes(20)))
    host = AgentHere(lab.remote(HOST), tmp_path)
    host.remote.push([foreign], PAYLOADS)
    order, attempt, report = host.runs(PATCH, payload="foreign")
    say(f"foreign: exit {attempt.exit_code}: {attempt.output_tail.strip()}")
    assert (attempt.state, report.livepatches) == (AttemptState.ENDED, ())
    assert attempt.exit_code != 0
    assert settle_livepatch(order, attempt, report).outcome is Outcome.STAYED
