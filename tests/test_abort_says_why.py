"""An abort that cannot end says what it waits for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.wire import AttemptState, Kind, Order, Wanted
from scheduler.holds import holds
from scheduler.rollout import RolloutState
from tests.make import fleet, guest, host
from tests.sim import Sim


class Stubborn(Sim):
    """Its hosts are told to reboot, and `ends` says what comes of that; none goes down."""

    exit_code: int | None = 0

    def _reboot(self, order: Order) -> tuple[float, Callable[[], None]]:
        state = AttemptState.UNKNOWN if self.exit_code is None else AttemptState.ENDED
        return 60.0, lambda: self.say(order, state, exit_code=self.exit_code)


def told_to_reboot(exit_code: int | None) -> Stubborn:
    hosts = [host("h0", gib=16), host("h1", gib=16, reboot=False)]
    sim = Stubborn(fleet(hosts, [guest("g0", "h0", gib=6)], canary_hosts=0, gates="none"))
    sim.exit_code = exit_code
    while not any(order.kind is Kind.REBOOT for _, order in sim.ordered):
        sim.round()
        sim.now += sim.limits.backoff(1) / 30
    return sim


@pytest.mark.parametrize("exit_code", [0, None])
def test_a_host_that_does_not_go_down_is_named(exit_code: int | None) -> None:
    sim = told_to_reboot(exit_code)
    sim.want(Wanted.ABORT)
    sim.run(until_s=4 * sim.limits.reboot_limit_s, step_s=5)
    assert sim.book.rollout.state is RolloutState.ABORTING, "nobody knows whether it goes down yet"
    held = {one.what: one.reason for one in holds(sim.book)}
    assert "was told to reboot but has not gone down" in held["host h0"]


def test_a_host_that_goes_down_late_and_does_not_come_back_does_not_hold_an_abort() -> None:
    sim = told_to_reboot(0)
    sim.want(Wanted.ABORT)
    sim.run(until_s=120, step_s=5)
    sim.lose_power("h0")
    sim.run(until_s=4 * sim.limits.reboot_limit_s, step_s=5)
    assert sim.book.rollout.state is RolloutState.ABORTED
