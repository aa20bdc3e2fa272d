"""A host that somebody rebooted by hand, or whose reboot a server forgot, is not rebooted again."""

from __future__ import annotations

from agents.wire import Kind, Wanted
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import NEW, Sim


def emptied(*more: str) -> Sim:
    """h0 is empty, or its guests are shut down, and a person holds it before its reboot."""
    hosts = [host("h0", gib=16), host("h1", gib=16, reboot=False)]
    guests = [guest("g0", "h0", gib=2)]
    guests += [guest(name, "h0", gib=2, evacuation="restart") for name in more]
    sim = Sim(fleet(hosts, guests, canary_hosts=0, gates="none"))
    while sim.hosts["h0"].domains:
        sim.round()
        sim.now += sim.limits.backoff(1) / 30
    sim.want_part("host:h0", Wanted.PAUSE)
    sim.round()
    assert not rebooted(sim)
    return sim


def rebooted(sim: Sim) -> bool:
    return any(order.kind is Kind.REBOOT for _, order in sim.ordered)


def test_it_is_open_again_and_counts_as_safe() -> None:
    sim = emptied()
    sim.shows("h0", build=NEW, boot=2)
    sim.want_part("host:h0", Wanted.RUN)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert not rebooted(sim)
    record = sim.book.hosts["h0"]
    assert (record.state, record.closed) == (HostState.UNAFFECTED, False)


def test_guests_that_were_shut_down_for_its_reboot_come_back() -> None:
    sim = emptied("p0")
    sim.shows("h0", build=NEW, boot=2)
    sim.want_part("host:h0", Wanted.RUN)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert not rebooted(sim) and sim.where("p0") == ("h0",)


def test_one_that_is_still_exposed_after_such_a_reboot_is_rebooted() -> None:
    sim = emptied()
    sim.shows("h0", boot=2)
    sim.want_part("host:h0", Wanted.RUN)
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE and rebooted(sim)
