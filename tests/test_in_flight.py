"""The fleet's document while guests are between two hosts and hosts are away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.wire import Kind
from scheduler.fleet_view import FleetDoubt
from scheduler.in_flight import InFlight, document_around
from scheduler.rollout import Step, StepState


def step(kind: Kind, host: str, guest: str | None = None, to: str | None = None) -> Step:
    return Step(
        id=f"{kind}-{host}-{guest}",
        generation=1,
        kind=kind,
        wave=1,
        needs=(),
        host=host,
        guest=guest,
        destination=to,
        state=StepState.RUNNING,
    )


def row(name: str, host: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "host": host, "memory_mib": 1024, "evacuation": "move"} | more


def fleet(hosts: list[str], guests: list[dict[str, Any]]) -> dict[str, Any]:
    return {"hosts": [{"name": name, "reboot": False} for name in hosts], "guests": guests}


BEFORE = fleet(["a", "b", "c"], [row("db", "a", memory_mib=2048), row("web", "c")])
FLIGHT = InFlight(moves=(step(Kind.MOVE, "a", "db", "b"),))


def around(seen: dict[str, Any], flight: InFlight = FLIGHT) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(document_around(json.dumps(seen).encode(), flight, BEFORE))
    return made


def test_a_guest_that_still_runs_on_its_source_is_there() -> None:
    said = around(fleet(["a", "b"], [row("db", "a"), row("other", "b")]))
    assert {one["name"]: one["host"] for one in said["guests"]} == {"db": "a", "other": "b"}


def test_the_half_that_arrives_is_no_leftover_and_no_second_guest() -> None:
    half = row("db (incoming on b)", "b", evacuation="hold")
    said = around(fleet(["a", "b"], [row("db", "a"), half]))
    assert [(one["name"], one["host"]) for one in said["guests"]] == [("db", "a")]


def test_in_the_moment_when_neither_host_shows_it_the_last_plan_knows_it() -> None:
    halves = [row("db (migratedaway on a)", "a"), row("db (incoming on b)", "b")]
    said = around(fleet(["a", "b"], halves))
    assert said["guests"] == [row("db", "a", memory_mib=2048)]


def test_a_guest_that_has_just_arrived_counts_as_on_its_way_until_that_is_settled() -> None:
    said = around(fleet(["a", "b"], [row("db", "b", evacuation="hold")]))
    assert said["guests"] == [row("db", "a")]


def test_leftovers_of_other_guests_stay_what_they_are() -> None:
    other = row("old (incoming on b)", "b", evacuation="hold")
    assert other in around(fleet(["a", "b"], [row("db", "a"), other]))["guests"]


def test_a_host_that_is_away_is_there_empty_and_still_to_be_rebooted() -> None:
    away = InFlight(reboots=(step(Kind.REBOOT, "c"),))
    said = around(fleet(["a", "b"], []), away)
    assert said["hosts"][-1] == {"name": "c", "reboot": True}
    assert said["guests"] == []


def test_a_host_that_is_away_may_take_guests_that_avoid_others_since_then() -> None:
    avoiding = row("web", "b", needs=["bridge:br0", "not:a", "not:c"])
    flight = InFlight(reboots=(step(Kind.REBOOT, "c"),))
    said = around(fleet(["a", "b"], [avoiding]), flight)
    away = next(one for one in said["hosts"] if one["name"] == "c")
    assert away["offers"] == ["not:a"], "and is avoided itself by those who avoid it"


def test_what_nobody_knows_is_a_doubt_that_names_it() -> None:
    unknown = InFlight(moves=(step(Kind.MOVE, "a", "nobody", "b"),))
    with pytest.raises(FleetDoubt, match="nobody is on its way"):
        around(fleet(["a", "b"], []), unknown)
    away = InFlight(reboots=(step(Kind.REBOOT, "z"),))
    with pytest.raises(FleetDoubt, match="z is away, and nothing is known of it"):
        around(fleet(["a", "b"], []), away)
