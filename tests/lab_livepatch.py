"""A live patch on real Xen, by hand and through the agent: refused, applied, shown, reverted.

`make test-lab-livepatch`. The hypervisor is Debian's, rebuilt; the payload is one of Xen's own
tests, built for that one build. What `xen-livepatch` says is compared with tests/xl_output.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.settle import Outcome, settle_livepatch
from agents.wire import AttemptState, Kind
from deploy.lab.build_id import build_id
from deploy.lab.lab import Lab
from deploy.lab.payload import NAME, payload
from deploy.lab.remote import Remote
from tests.conformance import RECORDED
from tests.lab_agent import AgentHere
from tests.lab_kit import lab_of, layout, say
from tests.livepatch_play import FITS, FOREIGN, load_livepatch, play_livepatch, save_livepatch

pytestmark = pytest.mark.timeout(2400)

HOST, PATCH = "lab-1", Kind.LIVEPATCH
PAYLOADS = "/var/lib/xen/livepatch"
NOTHING = "Nothing to list\n"


@dataclass(frozen=True)
class Built:
    """A hypervisor, the live patch that fits it, and the same one for a build that is not here."""

    hypervisor: Path
    fits: Path
    foreign: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    hypervisor, file = payload(layout(), say)
    foreign = tmp_path_factory.mktemp("payloads") / FOREIGN
    here = bytes.fromhex(build_id(hypervisor))
    foreign.write_bytes(file.read_bytes().replace(here, bytes(len(here))))
    return Built(hypervisor, file, foreign)


@pytest.fixture(scope="module")
def lab(built: Built) -> Iterator[Lab]:
    with lab_of([HOST], built.hypervisor) as made:
        yield made


@pytest.fixture
def remote(lab: Lab, built: Built) -> Remote:
    """The host with the files in its payload folder and nothing loaded."""
    remote = lab.remote(HOST)
    remote.push([built.fits, built.foreign], PAYLOADS)
    remote.check(f"cp {PAYLOADS}/{built.fits.name} {PAYLOADS}/{FITS}")
    assert remote.check("xen-livepatch list") == NOTHING
    return remote


def test_xen_livepatch_says_what_is_recorded(remote: Remote, tmp_path: Path) -> None:
    def run(command: str) -> tuple[int, str, str]:
        done = remote.run(f"sh -c {shlex.quote(f'cd {PAYLOADS} && {command}')}")
        return done.code, done.out, done.err

    told = play_livepatch(run)
    first = not (RECORDED / "livepatch.json").exists()
    save_livepatch(told, RECORDED if first else tmp_path)
    say(f"{len(told)} commands" + ", recorded for the first time" * first)
    assert told == load_livepatch()
    assert remote.check("xen-livepatch list") == NOTHING


def test_a_live_patch_is_applied_by_the_agent_shown_and_loaded_anew_after_a_revert(
    remote: Remote, built: Built, tmp_path: Path
) -> None:
    digest = hashlib.sha256(built.fits.read_bytes()).hexdigest()
    host = AgentHere(remote, tmp_path)
    _, refused, _ = host.runs(PATCH, payload=NAME, payload_sha256="0" * 64)
    assert refused.state is AttemptState.REFUSED and "not the ordered one" in refused.reason
    _, missing, _ = host.runs(PATCH, payload="nosuch")
    assert missing.state is AttemptState.REFUSED and "No such file" in missing.reason
    assert remote.check("xen-livepatch list") == NOTHING

    order, attempt, report = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    say(f"applied: exit {attempt.exit_code}, the report shows {report.livepatches}")
    assert (attempt.state, attempt.exit_code) == (AttemptState.ENDED, 0)
    assert report.livepatches == (NAME,) and report.build_id == build_id(built.hypervisor)
    assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE
    assert "APPLIED" in remote.check("xen-livepatch list")
    assert "Hello World" in remote.check("xl info xen_extra")
    _, again, _ = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert again.state is AttemptState.REFUSED and "already applied" in again.reason

    remote.check(f"xen-livepatch revert {NAME}")
    assert "CHECKED" in remote.check("xen-livepatch list")
    assert "Hello World" not in remote.check("xl info xen_extra")
    order, attempt, report = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE
    assert "Hello World" in remote.check("xl info xen_extra")
    remote.check(f"xen-livepatch revert {NAME} && xen-livepatch unload {NAME}")


def test_a_payload_for_another_build_is_refused_by_xen_and_so_reported(
    remote: Remote, tmp_path: Path
) -> None:
    host = AgentHere(remote, tmp_path)
    order, attempt, report = host.runs(PATCH, payload=FOREIGN.removesuffix(".livepatch"))
    say(f"foreign: exit {attempt.exit_code}: {attempt.output_tail.strip()}")
    assert (attempt.state, attempt.exit_code) == (AttemptState.ENDED, 1)
    assert "Error 22: Invalid argument" in attempt.output_tail
    verdict = settle_livepatch(order, attempt, report)
    say(verdict.reason)
    assert (verdict.outcome, report.livepatches) == (Outcome.STAYED, ())
    shown = remote.check("xl dmesg")
    assert "foreign: check against hypervisor build-id failed" in shown
