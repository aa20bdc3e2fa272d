"""From reports and wishes to a fleet that can be planned, or a refusal with names."""

from __future__ import annotations

from typing import Any

import pytest

from agents.wire import Leftover, LeftoverKind, Obstacle, ObstacleCode, Report
from planner.fleet import Evacuation, Policy
from scheduler.fleet_view import FleetDoubt, Scope, fleet_document, fleet_from, memory_mib
from scheduler.inventory import GuestEntry, HostEntry, Inventory
from scheduler.launch import obstacles_of
from scheduler.planned import blocked_reasons
from scheduler.planning import plan_fleet
from scheduler.rollout import GuestRecord
from tests.make import fleet, guest, host
from tests.sim import NEW, OLD, START, Sim

PCI = Obstacle(code=ObstacleCode.PCI, text="has a PCI device", lasting=True)
PAUSED = Obstacle(code=ObstacleCode.PAUSED, text="is paused", lasting=False)


def reports(**of_g1: Any) -> list[Report]:
    sim = Sim(fleet([host("h0"), host("h1", reboot=False)], [guest("g1", "h0", gib=2)]))
    seen = [sim.look(sim.hosts[name]) for name in ("h0", "h1")]
    g1 = seen[0].guests[0].model_copy(update=of_g1)
    return [seen[0].model_copy(update={"guests": (g1,)}), seen[1]]


def planned_as(
    entry: GuestEntry | None = None, record: GuestRecord | None = None, **of_g1: Any
) -> Evacuation:
    inventory = Inventory(guests=(entry,) if entry else ())
    scope = Scope((NEW,), Policy(), {"g1": record} if record else {})
    seen = fleet_from(fleet_document(reports(**of_g1), inventory, scope, START))
    return seen.guests[0].evacuation


def given_up(how: str = "give_up") -> GuestRecord:
    return GuestRecord(name="g1", host="h0", evacuation=how)


def consenting(**more: Any) -> GuestEntry:
    return GuestEntry(name="g1", if_refused="restart", **more)


def test_a_host_is_to_reboot_unless_its_build_counts_as_fixed() -> None:
    seen = fleet_from(fleet_document(reports(), Inventory(), Scope((NEW,), Policy()), START))
    assert [h.reboot for h in seen.hosts] == [True, False]
    seen = fleet_from(fleet_document(reports(), Inventory(), Scope((NEW, OLD), Policy()), START))
    assert [h.reboot for h in seen.hosts] == [False, False]


def test_pools_racks_and_wishes_come_from_the_inventory() -> None:
    inventory = Inventory(
        hosts=(HostEntry(name="h0", pool="p1", group="r1", offers=("storage:san1",)),),
        guests=(GuestEntry(name="g1", apart=("db",), guest_class="pv linux-3.10 i386"),),
    )
    seen = fleet_from(fleet_document(reports(), inventory, Scope((NEW,), Policy()), START))
    assert (seen.hosts[0].pool, seen.hosts[0].group) == ("p1", "r1")
    assert "storage:san1" in seen.hosts[0].offers
    assert (seen.guests[0].apart, seen.guests[0].guest_class) == (("db",), "pv linux-3.10 i386")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, Evacuation.MOVE),
        ({"obstacles": (PAUSED,)}, Evacuation.MOVE),
        ({"obstacles": (PCI,)}, Evacuation.HOLD),
        ({"obstacles": (PCI,), "entry": consenting()}, Evacuation.RESTART),
        ({"obstacles": (PCI,), "entry": consenting(), "config_path": None}, Evacuation.HOLD),
        ({"record": given_up()}, Evacuation.HOLD),
        ({"record": given_up(), "entry": consenting()}, Evacuation.RESTART),
        ({"record": given_up("hold"), "entry": consenting()}, Evacuation.HOLD),
        ({"entry": GuestEntry(name="g1", evacuation=Evacuation.RESTART)}, Evacuation.RESTART),
        ({"entry": GuestEntry(name="g1", evacuation=Evacuation.HOLD)}, Evacuation.HOLD),
    ],
)
def test_nobody_is_shut_down_without_the_owners_word(
    case: dict[str, Any], expected: Evacuation
) -> None:
    assert planned_as(**case) is expected


def test_a_destination_that_did_not_work_out_is_not_offered_again() -> None:
    record = GuestRecord(name="g1", host="h0", avoid=("h1",))
    scope = Scope((NEW,), Policy(), {"g1": record})
    seen = fleet_from(fleet_document(reports(), Inventory(), scope, START))
    assert "not:h1" in seen.guests[0].needs
    assert "not:h1" in seen.hosts[0].offers and "not:h1" not in seen.hosts[1].offers


def test_two_guests_of_one_name_on_two_hosts_are_refused_with_both_hosts() -> None:
    first, second = reports()
    twin = second.model_copy(update={"guests": first.guests})
    with pytest.raises(FleetDoubt, match=r"on h0 and on h1, two copies of one guest: .*evidence"):
        fleet_document([first, twin], Inventory(), Scope((NEW,), Policy()), START)
    other = first.guests[0].model_copy(update={"uuid": first.guests[0].uuid[::-1]})
    named = second.model_copy(update={"guests": (other,)})
    with pytest.raises(FleetDoubt, match="g1 is on h0 and on h1, two guests of one name: rename"):
        fleet_document([first, named], Inventory(), Scope((NEW,), Policy()), START)


def test_a_host_that_could_not_be_read_is_refused_by_name() -> None:
    first, second = reports()
    sick = second.model_copy(update={"trouble": ("xl list: timed out",)})
    with pytest.raises(FleetDoubt, match="h1: xl list: timed out"):
        fleet_document([first, sick], Inventory(), Scope((NEW,), Policy()), START)


def test_a_leftover_blocks_its_host_until_somebody_settled_it() -> None:
    first, second = reports()
    left = Leftover(
        kind=LeftoverKind.MIGRATEDAWAY,
        domid=9,
        name="g9",
        uuid="x",
        state="---ss-",
        cpu_time_s=3.0,
        memory_mib=512,
    )
    seen = fleet_from(
        fleet_document(
            [first.model_copy(update={"leftovers": (left,)}), second],
            Inventory(),
            Scope((NEW,), Policy()),
            START,
        )
    )
    assert seen.guests[1].evacuation is Evacuation.HOLD
    assert "migratedaway" in seen.guests[1].name


def test_a_crashed_guest_that_is_in_both_lists_is_planned_once() -> None:
    first, second = reports(obstacles=(PCI,))
    g1 = first.guests[0]
    left = Leftover(
        kind=LeftoverKind.CRASHED,
        domid=g1.domid,
        name=g1.name,
        uuid=g1.uuid,
        state="---sc-",
        cpu_time_s=3.0,
        memory_mib=g1.memory_mib,
    )
    crashed = first.model_copy(update={"leftovers": (left,)})
    scope = Scope((NEW,), Policy())
    seen = fleet_from(fleet_document([crashed, second], Inventory(), scope, START))
    assert [g.name for g in seen.guests] == ["g1"]
    assert seen.hosts[0].memory_mib == memory_mib(first)


def test_memory_for_guests_is_what_is_free_and_what_they_hold_but_not_more_than_there_is() -> None:
    first, _ = reports()
    assert memory_mib(first) == 64 * 1024
    generous = first.model_copy(update={"memory_free_mib": first.memory_free_mib + 9999})
    assert memory_mib(generous) == first.memory_total_mib - 1024


def test_a_blocked_host_is_told_with_what_keeps_its_guest_from_moving() -> None:
    seen = reports(obstacles=(PAUSED, PCI))
    planned, _ = plan_fleet(seen, Inventory(), Scope((NEW,), Policy()), START)
    why = blocked_reasons(planned.plan, obstacles=obstacles_of(seen))
    assert why == {"h0": "g1: is to be left alone (evacuation: hold): has a PCI device"}
    assert obstacles_of(reports(obstacles=(PAUSED,))) == {}
