"""Hosts that come back from their reboot and are not whole, in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.advisory import Advisory
from scheduler.holds import holds
from scheduler.limits import Limits
from scheduler.notify.event import Severity, severity_of
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import NEW, Sim

OFFERS = ("bridge:br0", "cpupool:fast", "livepatch", "storage:san")


def small_fleet() -> Fleet:
    hosts = [host(f"h{n}", gib=16, offers=OFFERS) for n in range(4)]
    needs = ["bridge:br0", "storage:san"]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2, needs=needs) for n in range(8)]
    return fleet(hosts, guests, canary_hosts=1, gates="canary")


def without(*tags: str) -> dict[str, object]:
    return {"offers": tuple(one for one in OFFERS if one not in tags)}


def rolled(**sim: Any) -> Sim:
    made = Sim(small_fleet(), **sim)
    made.run()
    return made


def running(sim: Sim) -> Counter[str]:
    return Counter(name for h in sim.hosts.values() for name in h.domains)


def resumed(sim: Sim) -> None:
    sim.round()
    sim.want(Wanted.RUN)
    sim.run()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (without("bridge:br0"), "h1 is back without bridge:br0"),
        (without("storage:san"), "h1 is back without storage:san"),
        (without("cpupool:fast", "bridge:br0"), "h1 is back without bridge:br0, cpupool:fast"),
        ({"microcode": "0x8"}, "h1 is back without microcode 0x10 (it has 0x8)"),
        ({"microcode": ""}, "h1 is back without microcode 0x10 (it does not tell it)"),
    ],
)
def test_a_host_that_comes_back_without_something_takes_no_guest_and_is_blocked(
    fields: dict[str, object], words: str
) -> None:
    sim = rolled(comes_back={"h1": fields})
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert sim.book.rollout.hold is not None and sim.book.rollout.hold.reason == words
    record = sim.book.hosts["h1"]
    assert (record.state, record.closed, record.reason) == (HostState.BLOCKED, True, words)
    assert not sim.hosts["h1"].domains
    resumed(sim)
    assert str(sim.book.rollout.state) == "done"
    assert not sim.hosts["h1"].domains, "nor later"
    assert running(sim) == Counter(list(sim.guests))
    others = {sim.book.hosts[name].state for name in ("h0", "h2", "h3")}
    assert others <= {HostState.FIXED, HostState.BLOCKED}
    assert sim.hosts["h1"].boot == 2, "it is not rebooted for it again"


def test_what_a_host_never_offered_is_not_missed() -> None:
    sim = rolled(comes_back={"h2": {"offers": (*OFFERS, "bridge:new"), "microcode": "0x11"}})
    assert sim.book.rollout.state is RolloutState.DONE
    before, after = sim.book.hosts["h2"].before, sim.book.hosts["h2"].after
    assert before is not None and after is not None
    assert (before.microcode, after.microcode) == ("0x10", "0x11")
    assert any("microcode 0x10 -> 0x11" in line.text for line in sim.happenings)


def test_microcode_below_what_an_advisory_asks_for_leaves_the_host_exposed() -> None:
    least = Advisory(id="XSA-1", fixed_builds=(NEW,), microcode={"06-55-07": "0x20"})
    new = {"microcode": "0x20"}
    fine = Sim(small_fleet(), advisories=(least,), comes_back={f"h{n}": new for n in range(4)})
    fine.run()
    assert fine.book.rollout.state is RolloutState.DONE
    sim = Sim(small_fleet(), advisories=(least,), comes_back={"h0": {"microcode": "0x1f"}})
    sim.run()
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert "its microcode is 0x1f, and at least 0x20 is safe" in sim.book.hosts["h0"].reason


def test_the_time_that_is_waited_is_a_limit_of_its_own() -> None:
    short = Sim(
        small_fleet(),
        limits=Limits(comeback_limit_s=30),
        comes_back={"h0": without("bridge:br0")},
    )
    short.run()
    lacking = next(line.at for line in short.happenings if line.kind == "lacking")
    stopped = next(line.at for line in short.happenings if line.kind == "stopped")
    assert timedelta(seconds=30) <= stopped - lacking <= timedelta(seconds=35)


def test_a_restart_guest_is_shut_down_last_and_started_before_any_guest_arrives() -> None:
    hosts = [host(f"h{n}", gib=16) for n in range(3)]
    guests = [guest(f"g{n}", f"h{n % 3}", gib=2) for n in range(6)]
    guests += [guest(f"p{n}", f"h{n}", gib=1, evacuation="restart") for n in range(3)]
    sim = Sim(fleet(hosts, guests))
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    for name in sim.hosts:
        done = [(at, order) for at, order in sim.ordered if name in (order.host, order.destination)]
        stop = next(at for at, order in done if order.kind is Kind.STOP)
        start = next(s for s in sim.book.steps.values() if (s.host, s.kind) == (name, Kind.START))
        reboot = next(at for at, order in done if order.kind is Kind.REBOOT)
        left = [at for at, o in done if o.kind is Kind.MOVE and o.host == name and at < reboot]
        came = [at for at, o in done if o.kind is Kind.MOVE and o.destination == name]
        assert all(at < stop for at in left), "shut down last"
        assert start.ended_at is not None
        assert all(at < stop or at >= start.ended_at for at in came), "started first"


def test_no_step_starts_on_an_old_look_at_either_end() -> None:
    sim = Sim(small_fleet())
    sim.ages_s = dict.fromkeys(sim.hosts, 20.0)
    sim.run(120)
    assert not sim.ordered, "the reports count as fresh enough to plan with, not to start with"
    assert set(sim.looked) <= set(sim.hosts) and sim.looked
    sim.ages_s = {}
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE


DEAD = {"trouble": ("xl list -v: Domain-0 has no name: xenstored does not answer",)}
SAID = "h0 is back, and its xenstored does not answer: xl list -v: Domain-0 has no name: xenstored"


def back_without_xenstored(**sim: Any) -> Sim:
    """h0 has just come back, and no xl works there."""
    made = Sim(small_fleet(), comes_back={"h0": DEAD}, **sim)
    while made.hosts["h0"].boot == 1:
        made.run(1)
    made.run(5)
    return made


@pytest.mark.parametrize("restarted", [False, True])
def test_without_xenstored_it_is_said_at_once_and_goes_on_by_itself_when_that_is_back(
    restarted: bool,
) -> None:
    sim = back_without_xenstored(restart_from_records=restarted)
    (held,) = [one for one in holds(sim.book) if one.what == "host h0"]
    assert held.reason.startswith(SAID) and held.by == "xenroll"
    assert sim.now - held.since <= timedelta(seconds=5)
    (told,) = [line for line in sim.happenings if line.kind == "lacking"]
    assert told.text.startswith(SAID) and severity_of(told.kind) is Severity.WARNING
    sim.run(200)
    assert sim.book.rollout.state is RolloutState.RUNNING
    assert not sim.hosts["h0"].domains, "no guest goes there meanwhile"
    sim.shows("h0", trouble=())
    sim.run()
    assert str(sim.book.rollout.state) == "done"
    assert {h.state for h in sim.book.hosts.values()} == {HostState.FIXED}
    assert [line.kind for line in sim.happenings].count("lacking") == 1
    assert holds(sim.book) == ()


def test_xenstored_that_stays_dead_stops_the_rollout_at_the_limit() -> None:
    sim = back_without_xenstored()
    began = sim.now
    sim.run(5000, step_s=5)
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert sim.book.rollout.hold and sim.book.rollout.hold.reason.startswith(SAID)
    assert sim.book.rollout.hold.since - began <= timedelta(seconds=620)
    record = sim.book.hosts["h0"]
    assert (record.state, record.lacking) == (HostState.BLOCKED, ("xenstored",))
    sim.shows("h0", trouble=())
    resumed(sim)
    assert str(sim.book.rollout.state) == "done"
    assert sim.book.hosts["h0"].state is HostState.FIXED and sim.hosts["h0"].boot == 2


def test_whatever_else_the_agent_cannot_read_after_the_boot_is_said_too() -> None:
    sim = Sim(small_fleet(), comes_back={"h0": {"trouble": ("xl info: did not end in 10 s",)}})
    while sim.hosts["h0"].boot == 1:
        sim.run(1)
    sim.run(5)
    (held,) = [one for one in holds(sim.book) if one.what == "host h0"]
    words = "h0 is back, and its agent cannot read it: xl info: did not end in 10 s"
    assert held.reason == words
