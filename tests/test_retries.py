"""How often a guest is tried, and when again: counted for the guest, not for a step of a plan."""

from __future__ import annotations

from datetime import timedelta

from agents.wire import Kind
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import Sim

BREAKS = "breaks in pre-copy"


def played(faults: dict[str, str | list[str]]) -> Sim:
    """Four hosts, of which one is emptied after the other."""
    hosts = [host(f"h{n}", gib=32) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(8)]
    policy = {"canary_hosts": 1, "gates": "every", "wave_hosts": 1}
    return Sim(fleet(hosts, guests, **policy), faults=faults)


def tries(sim: Sim, name: str) -> list[float]:
    """When each attempt to move this guest was ordered, in seconds after the first."""
    times = [at for at, o in sim.ordered if o.kind is Kind.MOVE and o.guest == name]
    return [(at - times[0]).total_seconds() for at in times]


def first_moved(sim: Sim) -> str:
    """The first guest that the plan moves."""
    moves = [step for step in sim.book.steps.values() if step.kind is Kind.MOVE]
    return min(moves, key=lambda step: step.planned_start_s).guest or ""


def with_new_plans(sim: Sim, name: str, until_s: float = 4000) -> None:
    """Plays on; in every back-off of this guest somebody starts another on its closed host."""
    seen = 0
    end = sim.now + timedelta(seconds=until_s)
    while sim.now < end and sim.book.rollout.state is not RolloutState.DONE:
        sim.round()
        sim.now += timedelta(seconds=1)
        record = sim.book.guests.get(name)
        if record is not None and record.stayed > seen:
            seen = record.stayed
            where = next(h.name for h in sim.hosts.values() if name in h.domains)
            sim.create(f"new-{seen}", where)


def test_a_guest_is_tried_three_times_however_often_the_rest_is_planned_anew() -> None:
    name = first_moved(played({}))
    sim = played({name: BREAKS})
    with_new_plans(sim, name)
    assert sim.book.rollout.generation > 2, "it was planned anew while the guest rested"
    assert len(tries(sim, name)) == 3
    record = sim.book.guests[name]
    assert (record.failures, record.evacuation) == (3, "give_up")
    assert sim.book.hosts[record.host].state is HostState.BLOCKED


def test_a_new_plan_does_not_shorten_the_back_off() -> None:
    name = first_moved(played({}))
    sim = played({name: BREAKS})
    with_new_plans(sim, name)
    first, second, third = tries(sim, name)
    backoff_s = Limits().retry_backoff_s
    assert second - first >= backoff_s
    assert third - second >= 2 * backoff_s


def test_a_move_that_works_out_wipes_the_slate() -> None:
    name = first_moved(played({}))
    sim = played({name: [BREAKS, BREAKS]})
    with_new_plans(sim, name)
    record = sim.book.guests[name]
    assert record.moves >= 1 and record.stayed == 2
    assert (record.failures, record.rest_until, record.evacuation) == (0, None, None)
    assert sim.book.rollout.state is RolloutState.DONE


def test_a_guest_that_ignores_its_suspend_is_tried_once_and_never_again() -> None:
    name = first_moved(played({}))
    sim = played({name: "ignores its suspend request"})
    with_new_plans(sim, name)
    assert len(tries(sim, name)) == 1
    assert sim.book.guests[name].evacuation == "give_up"
