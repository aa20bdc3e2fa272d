"""Live patch first, in virtual time: who is patched, who falls to a reboot, what comes again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from agents.wire import Kind, Wanted
from planner.fleet import Fleet
from scheduler.advisory import Advisory, Exposure, standing
from scheduler.choice import Way
from scheduler.rollout import HostState, RolloutState
from tests.make import fleet, guest, host
from tests.sim import NEW, OLD, Sim

PATCHED = Advisory(id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch"}, fixed_builds=(NEW,))
REBOOTS = Advisory(id="XSA-2", fixed_builds=(NEW,))
FILES = {"xsa1": "1" * 64, "xsa1-new": "2" * 64, "xsa400-new": "4" * 64}


def small_fleet(**policy: object) -> Fleet:
    hosts = [host(f"h{n}", gib=16, offers=["livepatch", "bridge:br0"]) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2, needs=["bridge:br0"]) for n in range(12)]
    return fleet(hosts, guests, **{"canary_hosts": 1, "gates": "canary"} | policy)


def patching(*advisories: Advisory, **sim: Any) -> Sim:
    return Sim(small_fleet(), **{"advisories": advisories or (PATCHED,), "payloads": FILES, **sim})


def running(sim: Sim) -> Counter[str]:
    return Counter(name for h in sim.hosts.values() for name in h.domains)


def kinds(sim: Sim) -> Counter[Kind]:
    return Counter(order.kind for _, order in sim.ordered)


def happened(sim: Sim, kind: str) -> list[str]:
    return [line.text for line in sim.happenings if line.kind == kind]


def assert_nobody_exposed(sim: Sim) -> None:
    assert sim.book.rollout.state is RolloutState.DONE
    assert running(sim) == Counter(list(sim.guests))
    for name, seen in sim.hosts.items():
        assert sim.book.hosts[name].state is HostState.FIXED
        assert not sim.book.hosts[name].closed
        for advisory in sim.book.rollout.advisories:
            found = standing(advisory, sim.look(seen), whatever_it_carries=True)
            assert found.exposure in (Exposure.FIXED, Exposure.LIVEPATCHED), (name, found)


def test_each_host_has_its_choice_with_the_reason() -> None:
    sim = patching(PATCHED, REBOOTS)
    reasons = {name: record.choice for name, record in sim.book.hosts.items()}
    for choice in reasons.values():
        assert choice is not None and choice.way is Way.REBOOT
        assert choice.reason == f"reboot for XSA-1, XSA-2: no payload of XSA-2 for build {OLD[:12]}"
    sim = patching()
    for record in sim.book.hosts.values():
        assert record.choice is not None and record.choice.way is Way.LIVEPATCH
        assert f"live patch xsa1: fits build {OLD[:12]}, and covers XSA-1" in record.choice.reason


def test_the_first_host_is_patched_alone_and_the_others_a_few_at_a_time() -> None:
    hosts = [host(f"h{n}", gib=16, offers=["livepatch"]) for n in range(9)]
    many = fleet(hosts, [guest("g1", "h0", gib=2)], canary_hosts=1, max_hosts_away=2)
    sim = Sim(many, advisories=(PATCHED,), payloads=FILES)
    most = 0
    while sim.book.rollout.state is RolloutState.RUNNING:
        sim.run(1)
        under_way = [s.host for s in sim.book.running()]
        most = max(most, len(under_way))
        if sim.book.hosts["h0"].state is not HostState.FIXED:
            assert set(under_way) <= {"h0"}, "the canary is patched before any other"
    assert most == 2
    assert_nobody_exposed(sim)


def test_two_advisories_with_payloads_are_loaded_in_their_order() -> None:
    second = Advisory(id="XSA-3", livepatches={OLD: "/p/xsa3.livepatch"}, fixed_builds=(NEW,))
    sim = patching(second, PATCHED, payloads={**FILES, "xsa3": "3" * 64})
    sim.run()
    assert_nobody_exposed(sim)
    assert all(h.livepatches == ("xsa3", "xsa1") for h in sim.hosts.values())


def test_a_host_that_is_patched_already_is_left_alone() -> None:
    sim = patching(livepatches={"h2": ("xsa1",)})
    choice = sim.book.hosts["h2"].choice
    assert choice is not None and choice.way is Way.FIXED
    assert choice.reason == "fixed already: live patch xsa1 is applied"
    sim.run()
    assert kinds(sim) == {Kind.LIVEPATCH: 3}
    assert sim.book.hosts["h2"].state is HostState.UNAFFECTED


@pytest.mark.parametrize("failing", ["h0", "h2"])  # the canary, and one of the others
@pytest.mark.parametrize("restart_from_records", [False, True])
def test_a_host_whose_live_patch_fails_falls_into_a_reboot_wave_by_itself(
    failing: str, restart_from_records: bool
) -> None:
    sim = patching(patch_exits={failing: [1] * 9}, restart_from_records=restart_from_records)
    sim.run()
    assert_nobody_exposed(sim)
    assert {name for name, h in sim.hosts.items() if h.boot == 2} == {failing}
    choice = sim.book.hosts[failing].choice
    assert choice is not None and choice.way is Way.REBOOT
    assert "live patch xsa1 failed" in choice.reason
    assert len([o for _, o in sim.ordered if o.host == failing and o.payload]) == 1


def test_payloads_that_fail_everywhere_stop_the_rollout_before_the_whole_fleet_reboots() -> None:
    hosts = [host(f"h{n}", gib=16, offers=["livepatch"]) for n in range(20)]
    sim = Sim(
        fleet(hosts, [guest("g1", "h0", gib=2)], canary_hosts=1),
        advisories=(PATCHED,),
        payloads=FILES,
        patch_exits={h.name: [1] * 9 for h in hosts},
    )
    sim.run()
    hold = sim.book.rollout.hold
    assert sim.book.rollout.state is RolloutState.STOPPED
    assert hold is not None and "live patches failed on 3 hosts" in hold.reason
    assert sum(h.boot == 2 for h in sim.hosts.values()) < 3
    sim.round()
    sim.want(Wanted.RUN)
    sim.run()
    assert sim.book.rollout.state is RolloutState.STOPPED, "three more, and it asks again"
    assert sum(h.boot == 2 for h in sim.hosts.values()) < 6


def test_a_payload_that_vanished_from_a_host_is_named_and_ends_in_a_reboot() -> None:
    sim = patching()
    sim.without_payloads.add("h1")
    sim.shows("h1")
    sim.run()
    assert any("there is no xsa1.livepatch" in line for line in happened(sim, "held"))
    assert_nobody_exposed(sim)
    assert {name for name, h in sim.hosts.items() if h.boot == 2} == {"h1"}


def test_a_changed_payload_is_not_loaded() -> None:
    told = PATCHED.model_copy(update={"livepatch_sha256s": {OLD: "9" * 64}})
    sim = patching(told)
    sim.run(100)
    assert any("has SHA-256 1111" in line for line in happened(sim, "held"))
    assert not any(h.livepatches for h in sim.hosts.values())


def test_without_live_patches_every_host_is_rebooted() -> None:
    sim = patching(livepatch=False)
    sim.run()
    assert_nobody_exposed(sim)
    assert all(h.boot == 2 for h in sim.hosts.values())
    assert Kind.LIVEPATCH not in kinds(sim)


def test_a_patched_host_that_reboots_by_itself_is_patched_again_before_guests_are_sent_there() -> (
    None
):
    mixed = fleet(
        [host(f"h{n}", gib=16, offers=["livepatch"]) for n in range(3)]
        + [host("h9", gib=16)],  # has no xen-livepatch: its guests move, and it reboots
        [guest(f"g{n}", "h9", gib=2) for n in range(4)],
        canary_hosts=0,
    )
    sim = Sim(mixed, advisories=(PATCHED,), payloads=FILES)
    while not all(sim.book.hosts[f"h{n}"].state is HostState.FIXED for n in range(3)):
        sim.run(1)
    for n in range(3):
        sim.reboot_by_itself(f"h{n}")
    sim.round()
    again = [line for line in happened(sim, "exposed") if "rebooted by itself" in line]
    assert len(again) == 3
    asked = len(sim.ordered)
    sim.run()
    since = [order for _, order in sim.ordered[asked - 1 :] if order.kind is Kind.MOVE]
    assert all(sim.hosts[order.destination or ""].livepatches for order in since)
    assert_nobody_exposed(sim)


def test_what_the_new_binary_does_not_contain_is_loaded_before_the_host_takes_guests() -> None:
    half = Advisory(
        id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch", NEW: "/p/xsa1-new.livepatch"}
    )
    sim = patching(half, REBOOTS)
    while sim.book.rollout.state is RolloutState.RUNNING:
        sim.run(1)
        for name, h in sim.hosts.items():
            if h.boot == 2 and not h.livepatches:
                assert sim.book.hosts[name].state is not HostState.FIXED
                assert sim.book.hosts[name].closed and not h.domains
    assert_nobody_exposed(sim)
    assert all(h.boot == 2 and h.livepatches == ("xsa1-new",) for h in sim.hosts.values())


def test_a_fix_that_would_be_lost_with_the_reboot_holds_the_host_and_names_the_remedy() -> None:
    old = Advisory(id="XSA-400", livepatches={OLD: "/p/xsa400.livepatch"})
    sim = patching(REBOOTS, keeps=(old,), livepatches={"h1": ("xsa400",)})
    sim.run()
    assert sim.book.rollout.state is RolloutState.STOPPED
    record = sim.book.hosts["h1"]
    assert record.state is HostState.BLOCKED and record.closed
    assert "the fix of XSA-400, which was live-patched before" in record.reason
    sim.keeps = (old.model_copy(update={"fixed_builds": (NEW,)}),)
    sim.round()
    sim.want(Wanted.RUN)
    sim.run()
    assert_nobody_exposed(sim)


def test_a_payload_that_cannot_be_loaded_after_the_reboot_blocks_the_host_with_the_reason() -> None:
    half = Advisory(
        id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch", NEW: "/p/xsa1-new.livepatch"}
    )
    sim = patching(half, REBOOTS, patch_exits={"h0": [1] * 99})
    sim.run()
    assert sim.book.rollout.state is RolloutState.STOPPED
    record = sim.book.hosts["h0"]
    assert record.state is HostState.BLOCKED and record.closed
    assert "h0 is back and lacks xsa1-new" in record.reason
    assert "exit code 1" in record.reason
    assert sim.hosts["h0"].boot == 2, "it is not rebooted for that again"
    sim.round()
    sim.want(Wanted.RUN)
    sim.run()
    assert str(sim.book.rollout.state) == "done"
    assert sim.book.hosts["h0"].state is HostState.BLOCKED
    assert not sim.hosts["h0"].domains, "no guest was sent to it"
    others = [sim.book.hosts[f"h{n}"].state for n in (1, 2, 3)]
    assert others == [HostState.FIXED] * 3


def test_guests_that_leave_do_not_make_an_exposed_host_safe() -> None:
    pv_only = Advisory(id="XSA-5", fixed_builds=(NEW,), affects=("pvh",))
    sim = patching(pv_only, wrong_builds=("h0",))
    sim.run()
    record = sim.book.hosts["h0"]
    assert record.state is HostState.BLOCKED, "it is empty, but back on the old build"
    assert "still exposed" in record.reason or "does not count" in record.reason


@pytest.mark.parametrize("after_s", [0, 1, 3, 5, 10, 60, 300, 400, 500])
def test_an_abort_ends_whatever_is_being_patched(after_s: float) -> None:
    half = Advisory(
        id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch", NEW: "/p/xsa1-new.livepatch"}
    )
    for advisories in ((PATCHED,), (half, REBOOTS)):
        sim = patching(*advisories)
        sim.run(after_s)
        sim.want(Wanted.ABORT)
        sim.run()
        assert sim.book.rollout.state in (RolloutState.ABORTED, RolloutState.DONE)
        assert not any(h.closed for h in sim.book.hosts.values())
        assert running(sim) == Counter(list(sim.guests))


def test_a_thousand_hosts_are_patched_in_virtual_time() -> None:
    hosts = [host(f"h{n:03}", gib=64, offers=["livepatch"]) for n in range(1000)]
    sim = Sim(fleet(hosts, [], canary_hosts=1), advisories=(PATCHED,), payloads=FILES)
    began = sim.now
    sim.run(step_s=5)
    assert_nobody_exposed(sim)
    assert sim.now - began > timedelta(0)
