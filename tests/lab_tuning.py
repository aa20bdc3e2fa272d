"""Weight, cap, vCPUs, pinning and cpupool over a real migration, with credit2 (and credit).

Part of `make test-lab-conformance`. The agent in each dom0 does all of it: reads what the guest
has, moves it, and puts back on the other host what `xl migrate` lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.settle import Outcome, settle_move, settle_retune
from agents.wire import Kind, Report, Tuning
from deploy.lab import guests
from deploy.lab.guests import Guest
from deploy.lab.lab import Lab
from tests.lab_agent import AgentHere
from tests.lab_kit import as_after_a_boot, pair_of_two_cpus, say
from tests.waiting import until

pytestmark = pytest.mark.timeout(1200)

HOSTS = ("lab-1", "lab-2")
WEB = Guest("tuned", 5, vcpus=2)
SLOW = """xl cpupool-create 'name="slow"' 'sched="credit"' 'cpus=["1"]'"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with pair_of_two_cpus(HOSTS) as made:
        yield made


def tuning(report: Report) -> Tuning:
    [guest] = report.guests
    assert guest.tuning is not None
    return guest.tuning


def there_and_tuned(
    lab: Lab, base: Path, *commands: str, online_vcpus: int
) -> tuple[Tuning, Tuning, Tuning]:
    """(before, as it arrived, as the agent left it) of a guest that is set up so and moved."""
    guests.create(lab.remote("lab-1"), WEB)
    here, there = (AgentHere(lab.remote(name), base) for name in HOSTS)
    about = {"guest": WEB.name, "guest_uuid": WEB.uuid}

    def settled_on(agent: AgentHere, vcpus: int) -> None:
        """Its kernel brings a vCPU up, or takes it down, a while after it began to run."""
        until(lambda: tuning(agent.look()).online_vcpus == vcpus, f"{vcpus} vCPUs", 300)

    settled_on(here, WEB.vcpus)
    for command in commands:
        lab.remote("lab-1").check(command)
    settled_on(here, online_vcpus)
    before = tuning(here.look())
    where = {"destination": "lab-2", "destination_address": "lab-2"}
    order, attempt, after = here.runs(Kind.MOVE, **about, **where)
    assert (attempt.exit_code, attempt.tuning) == (0, before), attempt.output_tail
    settled_on(there, online_vcpus)
    arrived = there.look()
    verdict = settle_move(order, attempt, after, arrived)
    assert verdict.outcome is Outcome.MOVED and verdict.retune is not None
    say(f"lost on the way: {verdict.retune.why}")
    wanted, domid = verdict.retune.tuning, verdict.retune.domid
    order, attempt, report = there.runs(Kind.RETUNE, **about, tuning=wanted, domid=domid)
    settled = settle_retune(order, attempt, report)
    say(settled.reason)
    assert settled.outcome is Outcome.DONE, attempt.output_tail
    return before, tuning(arrived), tuning(report)


def test_pinning_is_lost_and_put_back_and_weight_cap_and_vcpus_come_along(
    lab: Lab, tmp_path: Path
) -> None:
    as_after_a_boot(lab, HOSTS)
    before, arrived, after = there_and_tuned(
        lab,
        tmp_path,
        "xl sched-credit2 -d tuned -w 512 -c 50",
        "xl vcpu-pin tuned 0 1 0",
        "xl vcpu-pin tuned 1 0 0",
        online_vcpus=WEB.vcpus,
    )
    assert (before.weight, before.cap, before.online_vcpus) == (512, 50, 2)
    assert (before.hard, before.soft) == (("1", "0"), ("0", "0"))
    assert (arrived.weight, arrived.cap, arrived.online_vcpus) == (512, 50, 2)
    assert (arrived.hard, arrived.soft) == ((), ())
    assert after == before
    assert "tuned" in lab.remote("lab-2").check("xl vcpu-list tuned")


def test_a_cpupool_of_another_scheduler_is_found_again_by_its_name(
    lab: Lab, tmp_path: Path
) -> None:
    as_after_a_boot(lab, HOSTS)
    for name in HOSTS:
        lab.remote(name).check(f"xl cpupool-cpu-remove Pool-0 1 && {SLOW}")
    before, arrived, after = there_and_tuned(
        lab,
        tmp_path,
        "xl cpupool-migrate tuned slow",
        "xl sched-credit -d tuned -w 77 -c 33",
        "xl vcpu-set tuned 1",
        online_vcpus=1,
    )
    assert (before.pool, before.scheduler, before.weight, before.cap) == ("slow", "credit", 77, 33)
    assert before.online_vcpus == 1
    assert arrived.pool == "Pool-0"
    assert after == before
