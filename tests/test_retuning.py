"""Rollouts of guests with weights and pinnings: given back after each move, beside the rollout."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from agents.wire import Kind, Tuning, Wanted
from scheduler.limits import Limits
from scheduler.rollout import RolloutState, StepState
from tests.make import fleet, guest, host
from tests.sim import USUAL, Sim

PINNED = USUAL.model_copy(update={"weight": 512, "cap": 50, "hard": ("1",)})


def pinned_fleet(**more: Any) -> Sim:
    hosts = [host(f"h{n}", gib=16) for n in range(3)]
    guests = [guest(f"g{n}", f"h{n % 2}", gib=1) for n in range(4)]
    sim = Sim(fleet(hosts, guests, max_moves_out_per_host=2), **more)
    sim.tune("h0", "g0", PINNED)
    return sim


def tuning_of(sim: Sim, name: str) -> Tuning:
    [where] = [h for h in sim.hosts.values() if name in h.domains]
    return where.tunings.get(name, USUAL)


def retunes(sim: Sim) -> list[StepState]:
    return [s.state for s in sim.book.steps.values() if s.kind is Kind.RETUNE]


def test_after_a_rollout_a_pinned_guest_is_pinned_as_before_and_only_it_was_touched() -> None:
    sim = pinned_fleet()
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert tuning_of(sim, "g0") == PINNED
    moves = [o for _, o in sim.ordered if o.kind is Kind.MOVE and o.guest == "g0"]
    orders = [o for _, o in sim.ordered if o.kind is Kind.RETUNE]
    assert [o.guest for o in orders] == ["g0"] * len(moves)
    assert [o.host for o in orders] == [o.destination for o in moves]
    assert {o.tuning for o in orders} == {PINNED}
    assert set(retunes(sim)) == {StepState.DONE}


def test_a_controller_killed_after_every_event_gives_back_the_same() -> None:
    whole, killed = pinned_fleet(), pinned_fleet(restart_from_records=True)
    whole.run()
    killed.run()
    assert killed.ordered == whole.ordered and killed.book.steps == whole.book.steps


def test_a_pinning_that_cannot_be_put_back_is_told_and_stops_nothing() -> None:
    sim = pinned_fleet(faults={"g0": "stays_untuned"}, limits=Limits(retry_backoff_s=1.0))
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert all(h.reboots == 1 for h in sim.book.hosts.values())
    assert set(retunes(sim)) == {StepState.FAILED}
    told = [h.text for h in sim.happenings if h.kind == "failed"]
    assert told and all("tuning differs: g0 has" in text for text in told)
    assert sim.book.guests["g0"].stayed == 0 and not sim.book.guests["g0"].crashed


def test_a_guest_does_not_move_on_before_it_has_back_what_it_had() -> None:
    sim = pinned_fleet()
    sim.run()
    at: list[tuple[str, str]] = []
    for happening in sim.happenings:
        if happening.guest == "g0" and happening.kind in ("started", "moved", "done", "retune"):
            step = sim.book.steps[happening.step or ""]
            at.append((str(step.kind), happening.kind))
    for one, after in pairwise(at):
        assert (one, after) != (("retune", "retune"), ("move", "started")), at
    assert ("retune", "done") in at


def test_an_abort_still_gives_back_what_a_guest_had() -> None:
    sim = pinned_fleet()
    while not any(o.kind is Kind.RETUNE for _, o in sim.ordered):
        sim.run((sim.now - sim.book.rollout.created_at).total_seconds() + 1)
    sim.want(Wanted.ABORT)
    sim.run()
    assert sim.book.rollout.state is RolloutState.ABORTED
    assert tuning_of(sim, "g0") == PINNED
