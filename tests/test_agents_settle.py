"""How steps that are no moves ended, from one fresh report."""

from __future__ import annotations

from typing import Any

import pytest

from agents.settle import (
    Outcome,
    Retry,
    Verdict,
    settle_livepatch,
    settle_mend,
    settle_reboot,
    settle_start,
    settle_stop,
)
from agents.wire import Attempt, AttemptState, Domain, Kind, MendAction
from tests.agents_kit import (
    BLOCKED,
    CRASHED,
    DYING,
    OTHER_UUID,
    PAUSED,
    RUNS,
    SHUT_DOWN,
    SUSPENDED,
    attempt,
    domain,
    order,
    report,
)

DONE, STAYED, UNKNOWN, CRASH = Outcome.DONE, Outcome.STAYED, Outcome.UNKNOWN, Outcome.CRASHED
NONE, SAME, LATER, PERSON = Retry.NONE, Retry.SAME, Retry.LATER, Retry.PERSON
AWAY, INCOMING = "db-3--migratedaway", "db-3--incoming"


def came_to(verdict: Verdict) -> tuple[Outcome, Retry]:
    assert verdict.reason
    return verdict.outcome, verdict.retry


@pytest.mark.parametrize(
    ("sentence", "domains", "code", "expected"),
    [
        ("the guest is gone", (), 0, (DONE, NONE)),
        ("the guest is gone though the exit code was lost", (), None, (DONE, NONE)),
        ("the guest ignored the request", (domain(),), -15, (STAYED, PERSON)),
        ("the guest rebooted instead", (domain(domid=8),), 0, (STAYED, LATER)),
        ("its domain was kept", (domain(state=SHUT_DOWN),), 0, (UNKNOWN, PERSON)),
        ("it crashed", (domain(state=CRASHED),), 0, (CRASH, PERSON)),
        ("it is still dying", (domain(state=DYING),), 0, (UNKNOWN, LATER)),
        ("it is here twice", (domain(), domain(domid=6)), 0, (UNKNOWN, PERSON)),
        ("it is in the middle of a move", (domain(AWAY),), 0, (UNKNOWN, PERSON)),
        ("another guest has its name", (domain(uuid=OTHER_UUID),), 0, (DONE, NONE)),
    ],
)
def test_a_shutdown_is_done_when_the_guest_is_gone(
    sentence: str,
    domains: tuple[Domain, ...],
    code: int | None,
    expected: tuple[Outcome, Retry],
) -> None:
    stop = attempt("", code, kind=Kind.STOP)
    assert came_to(settle_stop(order(Kind.STOP), stop, report("n1", *domains))) == expected


@pytest.mark.parametrize(
    ("sentence", "domains", "code", "expected"),
    [
        ("the guest runs", (domain(state=RUNS),), 0, (DONE, NONE)),
        ("the guest runs though xl failed", (domain(state=BLOCKED),), 1, (DONE, NONE)),
        ("nothing is there", (), 1, (STAYED, SAME)),
        ("it is still being built", (domain(state=PAUSED),), None, (UNKNOWN, LATER)),
        ("it crashed at once", (domain(state=CRASHED),), 0, (CRASH, PERSON)),
        ("it got another UUID", (domain(uuid=OTHER_UUID),), 0, (UNKNOWN, PERSON)),
    ],
)
def test_a_start_is_done_when_the_guest_runs(
    sentence: str,
    domains: tuple[Domain, ...],
    code: int | None,
    expected: tuple[Outcome, Retry],
) -> None:
    start = attempt("xl: no memory", code, kind=Kind.START)
    assert came_to(settle_start(order(Kind.START), start, report("n1", *domains))) == expected


REBOOT = order(Kind.REBOOT, boot_id="old", build_ids=("fixed",))


@pytest.mark.parametrize(
    ("sentence", "seen", "code", "expected"),
    [
        ("back and fixed", {"boot_id": "new", "build_id": "fixed"}, None, (DONE, NONE)),
        ("back with the old build", {"boot_id": "new", "build_id": "bad"}, 0, (STAYED, PERSON)),
        ("back without a build id", {"boot_id": "new", "build_id": ""}, 0, (STAYED, PERSON)),
        ("back, but not to be read", {"boot_id": "new", "trouble": ("x",)}, 0, (UNKNOWN, LATER)),
        ("still up, the command failed", {"boot_id": "old"}, 1, (STAYED, PERSON)),
        ("still up after a long wait", {"boot_id": "old"}, 0, (UNKNOWN, PERSON)),
        ("no boot id at all", {"boot_id": ""}, 0, (UNKNOWN, LATER)),
    ],
)
def test_a_reboot_is_done_when_the_host_is_back_on_a_build_that_counts(
    sentence: str, seen: dict[str, Any], code: int | None, expected: tuple[Outcome, Retry]
) -> None:
    reboot = attempt("", code, kind=Kind.REBOOT)
    assert came_to(settle_reboot(REBOOT, reboot, report("n1", **seen))) == expected


def test_a_host_that_is_back_has_rebooted_whatever_its_journal_says() -> None:
    running = attempt("", None, kind=Kind.REBOOT, state=AttemptState.RUNNING)
    back = report("n1", boot_id="new", build_id="fixed")
    assert settle_reboot(REBOOT, running, back).outcome is DONE


def test_any_build_counts_where_the_order_names_none() -> None:
    verdict = settle_reboot(
        order(Kind.REBOOT, boot_id="old"), attempt("", 0), report("n1", boot_id="new", build_id="")
    )
    assert verdict.outcome is DONE


def mend_of(action: MendAction) -> Any:
    return order(Kind.MEND, mend=action, domid=5)


@pytest.mark.parametrize(
    ("action", "domains", "expected"),
    [
        (MendAction.DESTROY_SOURCE, (), (DONE, NONE)),
        (MendAction.DESTROY_SOURCE, (domain(AWAY, SUSPENDED),), (STAYED, PERSON)),
        (MendAction.DESTROY_SOURCE, (domain("(null)", DYING),), (UNKNOWN, PERSON)),
        (MendAction.DESTROY_INCOMING, (), (DONE, NONE)),
        (MendAction.DESTROY_INCOMING, (domain(INCOMING, PAUSED, 0.0),), (STAYED, PERSON)),
        (MendAction.RESUME_SOURCE, (domain(state=RUNS),), (DONE, NONE)),
        (MendAction.RESUME_SOURCE, (domain(state=SUSPENDED),), (STAYED, PERSON)),
        (MendAction.RESUME_SOURCE, (domain(AWAY, RUNS),), (STAYED, PERSON)),
        (MendAction.RESUME_SOURCE, (), (UNKNOWN, PERSON)),
        (MendAction.UNPAUSE, (domain(state=BLOCKED),), (DONE, NONE)),
        (MendAction.UNPAUSE, (domain(state=PAUSED),), (STAYED, PERSON)),
    ],
)
def test_a_clean_up_is_done_when_its_domain_shows_it(
    action: MendAction, domains: tuple[Domain, ...], expected: tuple[Outcome, Retry]
) -> None:
    verdict = settle_mend(mend_of(action), attempt("", 0), report("n1", *domains))
    assert came_to(verdict) == expected


@pytest.mark.parametrize(
    ("applied", "code", "expected"),
    [
        (("lp-1",), 0, (DONE, NONE)),
        (("lp-1",), None, (DONE, NONE)),
        ((), 2, (STAYED, SAME)),
        (("lp-0",), 1, (STAYED, PERSON)),
    ],
)
def test_a_live_patch_is_done_when_the_hypervisor_lists_it_as_applied(
    applied: tuple[str, ...], code: int | None, expected: tuple[Outcome, Retry]
) -> None:
    patch = order(Kind.LIVEPATCH, payload="lp-1")
    verdict = settle_livepatch(patch, attempt("", code), report("n1", livepatches=applied))
    assert came_to(verdict) == expected


SETTLERS = [
    (settle_stop, order(Kind.STOP)),
    (settle_start, order(Kind.START)),
    (settle_reboot, REBOOT),
    (settle_mend, mend_of(MendAction.UNPAUSE)),
    (settle_livepatch, order(Kind.LIVEPATCH, payload="lp-1")),
]


@pytest.mark.parametrize(("settle", "ordered"), SETTLERS)
@pytest.mark.parametrize(
    ("what", "told"),
    [
        (attempt("", None, state=AttemptState.RUNNING), {}),
        (attempt("", 0), {"trouble": ("xl list: no answer within 30 s",)}),
    ],
)
def test_no_step_is_settled_while_it_runs_or_while_its_host_cannot_be_read(
    settle: Any, ordered: Any, what: Attempt, told: dict[str, Any]
) -> None:
    verdict = settle(ordered, what, report("n1", boot_id="old", **told))
    assert came_to(verdict) == (UNKNOWN, LATER)


@pytest.mark.parametrize(("settle", "ordered"), SETTLERS)
def test_a_step_that_was_refused_changed_nothing(settle: Any, ordered: Any) -> None:
    refused = attempt("", None, state=AttemptState.REFUSED, reason="guest is here")
    assert settle(ordered, refused, report("n1", boot_id="old")).outcome is STAYED
