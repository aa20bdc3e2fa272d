"""Reverting a live patch on its host: what is run, when it is refused, what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from agents.prepare import prepare
from agents.settle import Outcome, settle_revert
from agents.steps import spec
from agents.wire import Attempt, AttemptState, Kind, RefusalCode
from tests.agents_kit import attempt, order, report
from tests.agents_steps_kit import Host, Payloads

REVERT = order(Kind.REVERT, guest=None, guest_uuid=None, payload="lp-1")
NOT_ON_TOP = "Reverting lp-1... failed\nError 16: Device or resource busy\n"


@pytest.fixture
def host(tmp_path: Path, redis_client: redis.Redis) -> Host:
    return Host(tmp_path, redis_client)


def test_an_applied_live_patch_is_reverted_and_stays_loaded(host: Host) -> None:
    payloads = Payloads(host, "lp-1 | APPLIED | ")
    assert host.runs(REVERT).exit_code == 0
    assert payloads.note.read_text() == "revert lp-1\n"


@pytest.mark.parametrize(
    ("listed", "why"),
    [("lp-1 | CHECKED | ", "it is CHECKED"), ("lp-2 | APPLIED | ", "it is not loaded")],
)
def test_what_is_not_applied_is_not_reverted(host: Host, listed: str, why: str) -> None:
    payloads = Payloads(host, listed)
    said = host.runs(REVERT)
    assert (said.state, said.refusal) == (AttemptState.REFUSED, RefusalCode.GATE)
    assert said.reason == f"lp-1 is not applied on this host: {why}"
    assert not payloads.note.exists()


def test_cpus_that_do_not_come_together_are_asked_a_few_times(host: Host) -> None:
    payloads = Payloads(host, "lp-1 | APPLIED | ", body="exit 2")
    assert host.runs(REVERT).exit_code == 2
    assert payloads.note.read_text() == "revert lp-1\n" * 5


@pytest.mark.parametrize("kind", [Kind.LIVEPATCH, Kind.REVERT])
def test_one_payload_of_a_host_is_loaded_or_reverted_at_a_time(host: Host, kind: Kind) -> None:
    Payloads(host, "lp-1 | APPLIED | ")
    first = order(kind, guest=None, guest_uuid=None, payload="lp-1", attempt_id="r1-s0-a1")
    work = prepare(REVERT, host.dom0.settings, host.journal)
    for one in (first, REVERT):
        locks = spec(host.dom0.settings, host.journal, one, work)["locks"]
        assert isinstance(locks, list)
        assert {"path": str(host.journal.payloads_lock), "exclusive": True} in locks


def test_a_host_without_the_payload_any_more_is_seen_as_reverted() -> None:
    verdict = settle_revert(REVERT, attempt("", 0), report("n1"))
    assert (verdict.outcome, verdict.reason) == (Outcome.DONE, "lp-1 is reverted on n1")


def test_what_is_refused_as_it_is_not_there_any_more_is_reverted_too() -> None:
    refused = refused_by_its_gate(attempt("", None))
    verdict = settle_revert(REVERT, refused, report("n1"))
    assert (verdict.outcome, verdict.reason) == (
        Outcome.DONE,
        "lp-1 is not applied on n1 any more",
    )
    assert settle_revert(REVERT, refused, report("n1", livepatches=("lp-1",))).reason == (
        "not started: it is gone"
    )
    unread = settle_revert(REVERT, refused, report("n1", trouble=("xl list: failed",)))
    assert unread.outcome is Outcome.STAYED


def refused_by_its_gate(ended: Attempt) -> Attempt:
    """The attempt as one that the host's gate refused."""
    changes = {"state": AttemptState.REFUSED, "refusal": RefusalCode.GATE, "reason": "it is gone"}
    return ended.model_copy(update=changes)


def test_what_lies_below_another_live_patch_stays_and_the_other_is_named() -> None:
    seen = report("n1", livepatches=("lp-1", "lp-2"))
    verdict = settle_revert(REVERT, attempt(NOT_ON_TOP, 2), seen)
    assert verdict.outcome is Outcome.STAYED
    assert verdict.reason == (
        "lp-1 is still applied on n1: Xen reverts only what was applied last; "
        "lp-2 is applied, too: revert that first"
    )


def test_any_other_failure_is_told_in_the_words_of_the_command() -> None:
    seen = report("n1", livepatches=("lp-1",))
    verdict = settle_revert(REVERT, attempt("Error 11: Resource", 2), seen)
    assert verdict.outcome is Outcome.STAYED
    assert verdict.reason == "lp-1 is still applied on n1 (exit code 2, Error 11: Resource)"


def test_nothing_is_said_on_a_report_that_is_no_ground() -> None:
    verdict = settle_revert(REVERT, attempt("", 0), report("n1", trouble=("xl list: failed",)))
    assert verdict.outcome is Outcome.UNKNOWN
