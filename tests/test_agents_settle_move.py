"""How a migration ended: each way that `xl migrate` can fail or be killed, and what is left then.

S is the source, T the destination. The cases follow the order of the protocol of `xl_migrate.c`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.settle import Outcome, Retry, settle_move
from agents.wire import AttemptState, Domain, MendAction, RefusalCode
from tests.agents_kit import (
    BLOCKED,
    CRASHED,
    DYING,
    NOON,
    PAUSED,
    RUNS,
    SHUT_DOWN,
    SUSPENDED,
    attempt,
    domain,
    order,
    recorded,
    report,
)
from tests.settle_arrived import ARRIVED, TWO
from tests.settle_kit import (
    AT_S,
    AT_T,
    AWAY,
    AWAY_AT_S,
    EXIT_A,
    EXIT_B,
    EXIT_C,
    GO,
    GUEST,
    INCOMING,
    INCOMING_AT_T,
    LATER,
    NONE,
    Row,
)
from tests.settle_stayed import FAILED, WORDS
from tests.settle_suspended import SUSPENDED_ROWS

ROWS = [*WORDS, *FAILED, *SUSPENDED_ROWS, *ARRIVED, *TWO]


@pytest.mark.parametrize("row", ROWS, ids=[row.sentence for row in ROWS])
def test_each_way_a_migration_can_end(row: Row) -> None:
    late = {"taken_at": NOON + timedelta(minutes=5)}
    source = report("n1", *row.here, **{**late, **row.source})
    destination = report("n2", *row.there, **{**late, **row.destination})
    verdict = settle_move(order(), attempt(row.said, row.code), source, destination)
    assert (verdict.outcome, verdict.retry) == (row.outcome, row.retry), verdict.reason
    assert tuple((mend.action, mend.domid) for mend in verdict.mends) == row.mends
    assert verdict.reason


def test_a_clean_up_names_the_host_that_holds_the_copy() -> None:
    away = settle_move(order(), attempt(EXIT_C), report("n1", AWAY_AT_S), report("n2", AT_T)).mends
    incoming = settle_move(
        order(), attempt(EXIT_B), report("n1", AT_S), report("n2", INCOMING_AT_T)
    ).mends
    assert [mend.host for mend in (*away, *incoming)] == ["n1", "n2"]
    assert {(mend.guest, mend.uuid) for mend in away} == {(GUEST, AT_S.uuid)}


def test_an_attempt_that_still_runs_is_not_settled_whatever_the_hosts_show() -> None:
    running = attempt("", None, state=AttemptState.RUNNING)
    verdict = settle_move(order(), running, report("n1"), report("n2", AT_T))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "it is still running")


@pytest.mark.parametrize("troubled", ["n1", "n2"])
def test_a_report_with_trouble_settles_nothing(troubled: str) -> None:
    source, destination = (
        report(host, trouble=("xl list: no answer",) if host == troubled else ())
        for host in ("n1", "n2")
    )
    verdict = settle_move(order(), attempt("", 0), source, destination)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason.startswith(f"{troubled} cannot be read")


def test_reports_of_other_hosts_settle_nothing() -> None:
    verdict = settle_move(order(), attempt("", 0), report("n2", AT_T), report("n1"))
    assert verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("refusal", "retry"),
    [
        (RefusalCode.PAUSED, NONE),
        (RefusalCode.ABORTED, NONE),
        (RefusalCode.STALE, NONE),
        (RefusalCode.REVOKED, NONE),
        (RefusalCode.GATE, LATER),
        (RefusalCode.BUSY, LATER),
        (RefusalCode.UNREADABLE, LATER),
    ],
)
def test_an_attempt_that_was_refused_changed_nothing(refusal: RefusalCode, retry: Retry) -> None:
    refused = attempt("", None, state=AttemptState.REFUSED, refusal=refusal, reason="because")
    verdict = settle_move(order(), refused, report("n1", AT_S), report("n2"))
    assert (verdict.outcome, verdict.retry) == (Outcome.STAYED, retry)
    assert "because" in verdict.reason


STATES = [RUNS, BLOCKED, PAUSED, SUSPENDED, CRASHED, SHUT_DOWN, DYING, "------", "--psc-", "---sr-"]
copy = st.builds(
    domain,
    name=st.sampled_from([GUEST, AWAY, INCOMING, "other"]),
    state=st.sampled_from(STATES),
    cpu_time_s=st.sampled_from([0.0, 0.1, 50.0]),
    domid=st.integers(1, 3),
)
copies_on_a_host = st.lists(copy, max_size=2, unique_by=lambda d: d.domid)


def runs_now(found: list[Domain]) -> list[Domain]:
    return [d for d in found if d.state in (RUNS, BLOCKED, "------")]


@given(
    here=copies_on_a_host,
    there=copies_on_a_host,
    said=st.sampled_from(["", GO + EXIT_C, EXIT_A, EXIT_B, recorded("migrate-fail-nomem.err")]),
    code=st.sampled_from([0, 1, -9, None]),
    xen=st.sampled_from(["4.17.7", "4.20.0", "", "garbage"]),
    receiving=st.integers(0, 1),
)
def test_whatever_the_hosts_show_nothing_that_runs_or_ran_last_is_destroyed(
    here: list[Domain],
    there: list[Domain],
    said: str,
    code: int | None,
    xen: str,
    receiving: int,
) -> None:
    verdict = settle_move(
        order(),
        attempt(said, code),
        report("n1", *here, xen_version=xen),
        report("n2", *there, receiving=receiving),
    )
    running = [*runs_now(here), *runs_now(there)]
    if len(running) > 1:
        assert verdict.outcome in (Outcome.BOTH, Outcome.UNKNOWN)
        assert verdict.mends == ()
    if verdict.outcome is Outcome.MOVED:
        assert not runs_now(here)
        assert [d.name for d in there if d.cpu_time_s > 0].count(GUEST) == 1
    if verdict.outcome is Outcome.STAYED:
        assert not runs_now(there)
    assert len(verdict.mends) <= 1
    for mend in verdict.mends:
        _allowed(mend.action, mend.domid, here, there)


def _allowed(action: MendAction, domid: int, here: list[Domain], there: list[Domain]) -> None:
    """What the design allows for each clean-up, said once more in other words."""
    at_source = action in (MendAction.DESTROY_SOURCE, MendAction.RESUME_SOURCE)
    target = next(d for d in (here if at_source else there) if d.domid == domid)
    if action is MendAction.DESTROY_SOURCE:
        assert (target.name, target.state) == (AWAY, SUSPENDED)
        assert any(d.name == GUEST and d.cpu_time_s > 0 for d in runs_now(there))
    elif action is MendAction.DESTROY_INCOMING:
        assert (target.name, target.state, target.cpu_time_s) == (INCOMING, PAUSED, 0.0)
    elif action is MendAction.UNPAUSE:
        assert (target.name, target.state, target.cpu_time_s) == (GUEST, PAUSED, 0.0)
        assert not runs_now(here)
    else:
        assert target.state == SUSPENDED
        assert [d for d in there if d.state != DYING] == []
