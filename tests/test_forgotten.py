"""A server that has lost its newest writes is told by hosts which guests they shut down for it."""

from __future__ import annotations

import pytest

from agents.wire import Attempt, AttemptState, Kind
from tests.make import fleet, guest, host
from tests.sim import START, Sim, uuid_of
from tests.test_wake_gate import ordered, rounds, show

STOPPED = Attempt(
    attempt_id="xsa-1-g0-0000000-9-a1",
    kind=Kind.STOP,
    state=AttemptState.ENDED,
    guest="p0",
    guest_uuid=uuid_of("p0"),
    exit_code=0,
    started_at=START,
    ended_at=START,
)


def after_the_loss(told: Attempt) -> Sim:
    """p0 does not run on h0; its host tells of an attempt, the server knows of none."""
    hosts = [host("h0", gib=16), host("h1", gib=16), host("h2", gib=16, reboot=False)]
    guests = [guest("p0", "h0", gib=2, evacuation="restart"), guest("g1", "h1", gib=2)]
    sim = Sim(fleet(hosts, guests, canary_hosts=0, gates="none"))
    del sim.hosts["h0"].domains["p0"]
    report = sim.look(sim.hosts["h0"])
    sim.hosts["h0"].report = report.model_copy(update={"attempts": (told,)})
    return sim


def recalled(sim: Sim) -> bool:
    return any(one.kind == "recalled" for one in sim.happenings)


def test_a_guest_that_was_shut_down_for_this_rollout_is_started_after_the_reboot() -> None:
    sim = after_the_loss(STOPPED)
    rounds(sim, lambda: recalled(sim), most=5)
    assert sim.book.guests["p0"].down and sim.book.guests["p0"].uuid == uuid_of("p0")
    assert not ordered(sim, Kind.START, "h0")
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"))
    assert sim.hosts["h0"].boot == 2
    rounds(sim, lambda: "p0" in sim.hosts["h0"].domains)
    assert "p0" in sim.hosts["h0"].domains


@pytest.mark.parametrize(
    "other",
    [
        {"attempt_id": "xsa-2-g0-0000000-9-a1"},
        {"attempt_id": "xsa-1-2-g0-0000000-9-a1"},
        {"attempt_id": "xsa-1-gold-g0-0000000-9-a1"},
        {"attempt_id": "xsa-1-g0-g0-0000000-9-a1"},
        {"exit_code": 1},
        {"state": AttemptState.UNKNOWN},
        {"kind": Kind.MOVE},
    ],
    ids=[
        "another rollout",
        "one of a like name",
        "one whose name goes on like a step",
        "one whose name goes on like a plan",
        "it failed",
        "no end is known",
        "a move",
    ],
)
def test_nothing_else_that_a_host_tells_makes_a_guest_one_of_ours(other: dict[str, object]) -> None:
    sim = after_the_loss(STOPPED.model_copy(update=other))
    rounds(sim, lambda: recalled(sim), most=5)
    assert not recalled(sim)


def test_a_guest_that_somebody_has_started_elsewhere_is_left_to_them() -> None:
    sim = after_the_loss(STOPPED)
    show(sim, "h2", "p0", "-b----")
    rounds(sim, lambda: recalled(sim), most=5)
    assert not recalled(sim)
