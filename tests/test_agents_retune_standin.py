"""Weight, cap, vCPUs and pinning over a whole move between two simulated hosts.

The stand-in loses on the way what real Xen 4.17 loses there (tests/lab_tuning.py): pinning and
the cpupool; weight, cap and the number of online vCPUs come along.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from agents.settle import Outcome, Retry, settle_move, settle_retune
from agents.wire import Attempt, AttemptState, Kind, RefusalCode, Tuning
from scheduler.standin.fault_table import inject
from tests.agents_pair import Pair


@pytest.fixture
def pair(tmp_path: Path, redis_client: redis.Redis) -> Pair:
    made = Pair(tmp_path, redis_client)
    for words in ("sched-credit2 -d db -w 512 -c 50", "vcpu-pin db 0 1-3 2"):
        xl(made, "n1", *words.split())
    return made


def xl(pair: Pair, host: str, *words: str) -> str:
    argv = [*pair.settings[host].xl, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def tuning(pair: Pair, host: str) -> Tuning:
    pair.lookers[host].tunings.answered = -1  # as if the controller had asked for this look
    [guest] = pair.look(host).guests
    assert guest.tuning is not None
    return guest.tuning


WHOLE = Tuning(pool="Pool-0", scheduler="credit2", weight=512, cap=50, online_vcpus=1,
               hard=("1-3",), soft=("2",))  # fmt: skip


def moved(pair: Pair) -> Attempt:
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    return pair.runs(order)


def retune(pair: Pair, wanted: Tuning, domid: int) -> tuple[Attempt, Outcome, str]:
    order = pair.order(Kind.RETUNE, "n2", domid=domid, tuning=wanted)
    attempt = pair.runs(order)
    pair.lookers["n2"].tunings.answered = -1
    verdict = settle_retune(order, attempt, pair.look("n2"))
    return attempt, verdict.outcome, verdict.reason


def test_what_a_move_loses_is_known_from_before_it_and_put_back_after_it(pair: Pair) -> None:
    assert tuning(pair, "n1") == WHOLE
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    attempt = pair.runs(order)
    assert attempt.tuning == WHOLE
    lost = tuning(pair, "n2")
    assert (lost.weight, lost.cap, lost.hard, lost.soft) == (512, 50, (), ())
    verdict = settle_move(order, attempt, pair.look("n1"), pair.look("n2"))
    assert verdict.outcome is Outcome.MOVED and verdict.retune is not None
    said, outcome, _ = retune(pair, verdict.retune.tuning, verdict.retune.domid)
    assert (said.exit_code, outcome) == (0, Outcome.DONE)
    assert tuning(pair, "n2") == WHOLE
    assert "1-3 / 2" in xl(pair, "n2", "vcpu-list", "db")


def test_a_guest_that_lost_nothing_needs_no_step(pair: Pair) -> None:
    xl(pair, "n1", "vcpu-pin", "db", "0", "all", "all")
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    verdict = settle_move(order, pair.runs(order), pair.look("n1"), pair.look("n2"))
    assert (verdict.outcome, verdict.retune) == (Outcome.MOVED, None)


def test_cpus_that_the_destination_does_not_have_are_told_and_the_guest_runs_on(
    pair: Pair,
) -> None:
    moved(pair)
    domid = pair.look("n2").guests[0].domid
    said, outcome, reason = retune(pair, WHOLE.model_copy(update={"hard": ("40",)}), domid)
    assert (said.state, said.exit_code, outcome) == (AttemptState.ENDED, 1, Outcome.STAYED)
    assert "vCPU 0 on CPUs all / all instead of 40 / 2" in reason
    assert "Could not set affinity for vcpu `0'" in reason
    assert pair.look("n2").guests[0].state[2:] == "----"


def test_a_guest_in_a_cpupool_goes_back_into_the_pool_of_that_name(pair: Pair) -> None:
    for host in ("n1", "n2"):
        xl(pair, host, "cpupool-cpu-remove", "Pool-0", "6,7")
        xl(pair, host, "cpupool-create", 'name="slow"', 'sched="credit"', 'cpus=["6","7"]')
    xl(pair, "n1", "cpupool-migrate", "db", "slow")
    xl(pair, "n1", "sched-credit", "-d", "db", "-w", "77", "-c", "33")
    before = tuning(pair, "n1")
    assert (before.pool, before.scheduler, before.weight, before.cap) == ("slow", "credit", 77, 33)
    assert moved(pair).tuning == before
    assert tuning(pair, "n2").pool == "Pool-0"
    domid = pair.look("n2").guests[0].domid
    assert retune(pair, before, domid)[1] is Outcome.DONE
    assert tuning(pair, "n2") == before


def test_a_domain_that_is_another_one_by_now_is_not_touched(pair: Pair) -> None:
    said = pair.runs(pair.order(Kind.RETUNE, "n1", domid=77, tuning=WHOLE))
    assert (said.state, said.refusal) == (AttemptState.REFUSED, RefusalCode.GATE)
    assert "is domain 1, not 77" in said.reason


def test_a_move_is_not_held_up_by_an_unreadable_share_and_says_so(pair: Pair) -> None:
    inject(pair.world, "n1", "xl-fails", count=1, text="vcpu-list")
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    attempt = pair.runs(order)
    assert (attempt.exit_code, attempt.tuning) == (0, None)
    verdict = settle_move(order, attempt, pair.look("n1"), pair.look("n2"))
    assert (verdict.outcome, verdict.retry) == (Outcome.MOVED, Retry.NONE)
    assert "came along is not known" in verdict.reason and "vcpu-list" in verdict.reason
