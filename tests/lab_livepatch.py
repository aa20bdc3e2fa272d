"""Live patches on real Xen, by hand and through the agent: refused, applied, listed, reverted.

`make test-lab-livepatch`. The hypervisor is Debian's, rebuilt; the payloads are two of Xen's own
tests, built for that one build, the second on top of the first. What `xen-livepatch` says is
compared with tests/xl_output; at last everything is asked for by `xenroll` alone.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.settle import Outcome, settle_livepatch, settle_revert
from agents.wire import AttemptState, Kind
from deploy.lab.build_id import build_id
from deploy.lab.lab import Lab
from deploy.lab.payload import NAME, STACKED, payload
from deploy.lab.remote import Remote
from scheduler.rollout import RolloutState
from tests.conformance import RECORDED
from tests.lab_agent import AgentHere
from tests.lab_kit import lab_of, layout, say
from tests.lab_stage import Stage, free_port, now, staged
from tests.livepatch_play import (
    FITS,
    FOREIGN,
    load_livepatch,
    play_livepatch,
    save_livepatch,
)
from tests.livepatch_play import STACKED as ON_TOP

pytestmark = pytest.mark.timeout(2400)

HOST, PATCH, REVERT = "lab-1", Kind.LIVEPATCH, Kind.REVERT
ADVISORY = "XSA-998"
PAYLOADS = "/var/lib/xen/livepatch"
NOTHING = "Nothing to list\n"


@dataclass(frozen=True)
class Built:
    """A hypervisor, the live patch that fits it, the one on top of that, and the first one for a
    build that is not here."""

    hypervisor: Path
    fits: Path
    stacked: Path
    foreign: Path

    @property
    def build(self) -> str:
        return build_id(self.hypervisor)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    hypervisor, file = payload(layout(), say)
    foreign = tmp_path_factory.mktemp("payloads") / FOREIGN
    here = bytes.fromhex(build_id(hypervisor))
    foreign.write_bytes(file.read_bytes().replace(here, bytes(len(here))))
    return Built(hypervisor, file, file.with_name(f"{STACKED}.livepatch"), foreign)


@pytest.fixture(scope="module")
def lab(built: Built) -> Iterator[Lab]:
    with lab_of([HOST], built.hypervisor, redis_port=free_port(layout())) as made:
        yield made


@pytest.fixture
def remote(lab: Lab, built: Built) -> Remote:
    """The host with the files in its payload folder and nothing loaded."""
    remote = lab.remote(HOST)
    remote.push([built.fits, built.stacked, built.foreign], PAYLOADS)
    for file, name in ((built.fits, FITS), (built.stacked, ON_TOP)):
        remote.check(f"cp {PAYLOADS}/{file.name} {PAYLOADS}/{name}")
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


def test_a_live_patch_is_applied_by_the_agent_shown_reverted_by_it_and_loaded_anew(
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
    assert report.livepatches == (NAME,) and report.build_id == built.build
    assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE
    assert "APPLIED" in remote.check("xen-livepatch list")
    assert "Hello World" in remote.check("xl info xen_extra")
    _, again, _ = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert again.state is AttemptState.REFUSED and "already applied" in again.reason

    taken_back(host, NAME)
    assert "CHECKED" in remote.check("xen-livepatch list")
    assert "Hello World" not in remote.check("xl info xen_extra")
    _, again, _ = host.runs(REVERT, payload=NAME)
    assert again.state is AttemptState.REFUSED and "it is CHECKED" in again.reason
    order, attempt, report = host.runs(PATCH, payload=NAME, payload_sha256=digest)
    assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE
    assert "Hello World" in remote.check("xl info xen_extra")
    taken_back(host, NAME)
    remote.check(f"xen-livepatch unload {NAME}")


def taken_back(host: AgentHere, name: str) -> None:
    """The agent reverts it, and its report shows that it is gone."""
    order, attempt, report = host.runs(REVERT, payload=name)
    say(f"reverted: exit {attempt.exit_code}, the report shows {report.livepatches}")
    assert (attempt.state, attempt.exit_code) == (AttemptState.ENDED, 0)
    assert name not in report.livepatches
    assert settle_revert(order, attempt, report).outcome is Outcome.DONE


def test_what_another_live_patch_rests_on_is_not_reverted_before_that(
    remote: Remote, tmp_path: Path
) -> None:
    host = AgentHere(remote, tmp_path)
    for name in (NAME, STACKED):
        order, attempt, report = host.runs(PATCH, payload=name)
        assert settle_livepatch(order, attempt, report).outcome is Outcome.DONE, attempt
    order, attempt, report = host.runs(REVERT, payload=NAME)
    verdict = settle_revert(order, attempt, report)
    say(f"exit {attempt.exit_code}: {verdict.reason}")
    assert (verdict.outcome, report.livepatches) == (Outcome.STAYED, (NAME, STACKED))
    assert f"{STACKED} is applied, too: revert that first" in verdict.reason
    for name in (STACKED, NAME):
        taken_back(host, name)
    remote.check(f"xen-livepatch unload {STACKED} && xen-livepatch unload {NAME}")


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


def test_everything_is_asked_for_by_command_and_done_by_the_agent(
    lab: Lab, remote: Remote, built: Built
) -> None:
    with staged(lab, free_port(lab.layout)) as stage:
        began = now()
        stage.enroll(HOST)
        stage.wait_for_agents([HOST], began)
        stage.apply_inventory([HOST])
        stage.obey("advisory", "add", ADVISORY, "--livepatch", f"{built.build}={built.fits}")
        stage.obey("rollout", "start", ADVISORY, "--reason", "the lab")
        stage.follow(stage.store.ids()[-1], lambda b: b.rollout.state is RolloutState.DONE, 900)
        assert "APPLIED" in remote.check("xen-livepatch list")
        assert (listed(stage), exposure(stage)) == (["applied"], "livepatched")

        why = ("--reason", "the lab", "--wait-s", "300")
        said = stage.obey("livepatch", "revert", HOST, NAME, *why)
        assert f"{NAME} is reverted on {HOST}, which is exposed again" in said
        assert "CHECKED" in remote.check("xen-livepatch list")
        assert "Hello World" not in remote.check("xl info xen_extra")
        assert (listed(stage), exposure(stage)) == (["reverted"], "exposed")
        code, text = stage.xenroll("livepatch", "revert", HOST, NAME, *why)
        assert code == 1 and "there is nothing to revert" in text
        planned = stage.xenroll("rollout", "start", ADVISORY, "--reason", "what if", "--dry-run")
        assert f"live patch {NAME} was reverted by" in planned[1]
    remote.check(f"xen-livepatch unload {NAME}")


def listed(stage: Stage) -> list[str]:
    """The states of the live patches, as a person sees them."""
    return [row["state"] for row in json.loads(stage.obey("livepatch", "list", "--json"))]


def exposure(stage: Stage) -> str:
    """What the host is to the advisory, as a person sees it."""
    shown = json.loads(stage.obey("advisory", "show", ADVISORY, "--json"))
    return str(shown["standings"][HOST]["exposure"])
