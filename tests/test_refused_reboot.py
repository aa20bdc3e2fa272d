"""A host that refuses its reboot is one that is being emptied again, not one that is away."""

from __future__ import annotations

from agents.wire import AttemptState, Kind, Order, RefusalCode
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import Sim


class Refusing(Sim):
    """h0 refuses its first reboots, as somebody left a saved image there."""

    refuses = 1

    def start(self, order: Order) -> None:
        if order.kind is Kind.REBOOT and order.host == "h0" and self.refuses:
            self.refuses -= 1
            code, reason = RefusalCode.GATE, "the saved image x would be restored at boot"
            self.say(order, AttemptState.REFUSED, refusal=code, reason=reason)
            return
        super().start(order)


def refused() -> Refusing:
    hosts = [host("h0", gib=16), host("h1", gib=16, reboot=False)]
    guests = [guest("g0", "h0", gib=6), guest("g1", "h1", gib=6)]
    sim = Refusing(fleet(hosts, guests, canary_hosts=0, gates="none"))
    for _ in range(2000):
        if not sim.refuses:
            return sim
        sim.round()
        sim.now += sim.limits.backoff(1) / 30
    raise AssertionError("it was never ordered to reboot")


def test_it_reboots_when_what_kept_it_from_that_is_gone() -> None:
    sim = refused()
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert sim.book.hosts["h0"].state is HostState.FIXED


def test_its_silence_is_noticed() -> None:
    sim = refused()
    sim.round()
    sim.mute.add("h0")
    sim.round()
    assert sim.book.hosts["h0"].silent


def test_a_guest_that_came_meanwhile_and_cannot_leave_blocks_it() -> None:
    sim = refused()
    sim.round()
    for name in ("n0", "n1", "n2", "n3", "n4", "n5"):
        sim.create(name, "h0")
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE, sim.book.rollout.hold
    assert sim.book.hosts["h0"].state is HostState.BLOCKED
    assert sim.book.hosts["h0"].reason
