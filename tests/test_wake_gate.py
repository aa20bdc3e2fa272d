"""No guest is woken or started while another copy of it can be seen, under whatever name."""

from __future__ import annotations

from collections.abc import Callable

from agents.wire import Domain, Kind
from tests.make import fleet, guest, host
from tests.sim import Sim, uuid_of


def restarted() -> Sim:
    """p0 is shut down on h0, which reboots; whatever comes next is in the test's hand."""
    hosts = [host("h0", gib=16), host("h1", gib=16), host("h2", gib=16, reboot=False)]
    guests = [guest("p0", "h0", gib=2, evacuation="restart"), guest("g1", "h1", gib=2)]
    sim = Sim(fleet(hosts, guests, canary_hosts=0, gates="none"))
    rounds(sim, lambda: ordered(sim, Kind.REBOOT, "h0"))
    return sim


def rounds(sim: Sim, until: Callable[[], bool], most: int = 2000) -> None:
    for _ in range(most):
        if until():
            return
        sim.round()
        sim.now += sim.limits.backoff(1) / 30


def ordered(sim: Sim, kind: Kind, where: str) -> bool:
    return any(order.kind is kind and order.host == where for _, order in sim.ordered)


def show(sim: Sim, where: str, name: str, state: str) -> None:
    """Somebody else's doing: a domain of p0's UUID on another host."""
    facts = {"domid": 77, "memory_mib": 2048, "vcpus": 1, "cpu_time_s": 0.0}
    domain = Domain.model_validate({"name": name, "uuid": uuid_of("p0"), "state": state} | facts)
    sim.hosts[where].domains[name] = domain
    sim.hosts[where].report = None


def test_a_guest_is_not_started_while_half_of_it_arrives_elsewhere() -> None:
    sim = restarted()
    show(sim, "h2", "p0--incoming", "--p---")
    rounds(sim, lambda: sim.hosts["h0"].boot > 1)
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"), most=60)
    assert not ordered(sim, Kind.START, "h0")
    held = [one.reason for one in sim.book.running() + sim.book.startable() if one.guest == "p0"]
    assert held == ["p0 is on h2 already: domain 77 --incoming, paused"]


def test_a_guest_is_not_started_while_it_runs_elsewhere_under_another_name() -> None:
    sim = restarted()
    show(sim, "h2", "p0-rescued", "-b----")
    rounds(sim, lambda: sim.hosts["h0"].boot > 1)
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"), most=60)
    assert not ordered(sim, Kind.START, "h0")


def test_what_is_left_of_a_crash_elsewhere_keeps_no_guest_from_its_start() -> None:
    sim = restarted()
    show(sim, "h2", "p0-core", "---sc-")
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"))
    assert ordered(sim, Kind.START, "h0")


def test_the_rest_of_an_older_move_elsewhere_keeps_no_guest_from_its_start() -> None:
    sim = restarted()
    show(sim, "h2", "p0--migratedaway", "---ss-")
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"))
    assert ordered(sim, Kind.START, "h0")


def test_a_guest_is_started_as_soon_as_the_other_copy_is_gone() -> None:
    sim = restarted()
    show(sim, "h2", "p0--incoming", "--p---")
    rounds(sim, lambda: sim.hosts["h0"].boot > 1)
    rounds(sim, lambda: False, most=60)
    del sim.hosts["h2"].domains["p0--incoming"]
    sim.hosts["h2"].report = None
    rounds(sim, lambda: ordered(sim, Kind.START, "h0"), most=200)
    assert ordered(sim, Kind.START, "h0")
