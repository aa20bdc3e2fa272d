"""What is checked right before a step is ordered, on what both ends show."""

from __future__ import annotations

from typing import Any

import pytest

from agents.wire import (
    BootStart,
    Domain,
    Kind,
    Leftover,
    LeftoverKind,
    Obstacle,
    ObstacleCode,
    Report,
)
from scheduler.gate import Answer, Blame, Gate, check, moved_away, version
from scheduler.rollout import Step
from tests.make import fleet, guest, host
from tests.sim import Sim

GIB = 1024


class Seen:
    """Two hosts of 16 GiB, g1 (4 GiB) on h0; what a test changes is what is seen."""

    def __init__(self) -> None:
        self.sim = Sim(fleet([host("h0", gib=16), host("h1", gib=16)], [guest("g1", "h0", gib=4)]))
        self.changes: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, str] = {}

    def report(self, host: str) -> Report | str:
        if host in self.missing:
            return self.missing[host]
        seen = self.sim.look(self.sim.hosts[host])
        return seen.model_copy(update=self.changes.get(host, {}))

    def silent(self) -> dict[str, str]:
        return self.missing

    def age_s(self, host: str) -> float:
        return 0.0

    def address(self, host: str) -> str:
        return host

    def named_class(self, guest: str) -> str | None:
        return None

    def where(self, guest: str) -> tuple[str, ...]:
        reports = (self.report(name) for name in self.sim.hosts)
        seen = [r for r in reports if isinstance(r, Report)]
        return tuple(r.host for r in seen if any(g.name == guest for g in r.guests))


def step(kind: Kind, **facts: Any) -> Step:
    destination = "h1" if kind is Kind.MOVE else None
    about = {"guest": None if kind is Kind.REBOOT else "g1", "destination": destination}
    first = {"id": "g1-1", "generation": 1, "kind": kind, "wave": 1, "needs": (), "host": "h0"}
    return Step.model_validate(first | about | facts)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def domain(name: str, memory_mib: int = 4 * GIB, uuid: str = "x") -> Domain:
    return Domain(
        domid=9, name=name, uuid=uuid, memory_mib=memory_mib, vcpus=1, state="--p---", cpu_time_s=0
    )


def with_domain(seen: Seen, where: str, more: Domain) -> None:
    report = seen.report(where)
    assert isinstance(report, Report)
    seen.changes.setdefault(where, {})["domains"] = (*report.domains, more)


def move(seen: Seen, arriving: dict[str, int] | None = None) -> Gate:
    return check(step(Kind.MOVE), seen, {"h1": arriving or {}})


def test_a_move_goes_when_both_ends_are_as_planned(seen: Seen) -> None:
    gate = move(seen)
    assert gate.answer is Answer.GO
    assert gate.guest and gate.guest.name == "g1"


@pytest.mark.parametrize("where", ["h0", "h1"])
def test_a_host_that_cannot_be_seen_holds_the_move(seen: Seen, where: str) -> None:
    seen.missing[where] = f"{where} has not reported for more than 30 s"
    assert (move(seen).answer, move(seen).reason) == (Answer.HOLD, seen.missing[where])


def test_the_destination_must_have_room_beside_what_is_on_its_way(seen: Seen) -> None:
    seen.changes["h1"] = {"memory_free_mib": 6 * GIB}
    assert move(seen).answer is Answer.GO
    short = move(seen, {"g2": 3 * GIB})
    assert (short.answer, short.blame) == (Answer.HOLD, Blame.DESTINATION)
    assert "1024 MiB short of room for g1" in short.reason


@pytest.mark.parametrize("name", ["g2", "g2--incoming"])
def test_memory_that_an_arriving_guest_holds_already_is_not_counted_twice(
    seen: Seen, name: str
) -> None:
    seen.changes["h1"] = {"memory_free_mib": 5 * GIB}
    with_domain(seen, "h1", domain(name, memory_mib=3 * GIB))
    assert move(seen, {"g2": 3 * GIB}).answer is Answer.GO
    assert move(seen, {"g2": 5 * GIB}).answer is Answer.HOLD, "2 GiB of it are still to come"


@pytest.mark.parametrize("name", ["g1", "g1--incoming", "g1--migratedaway"])
def test_a_name_that_is_taken_there_holds_the_move(seen: Seen, name: str) -> None:
    with_domain(seen, "h1", domain(name))
    gate = move(seen)
    assert gate.answer is Answer.HOLD and name in gate.reason


def test_a_uuid_that_is_taken_there_holds_the_move(seen: Seen) -> None:
    report = seen.report("h0")
    assert isinstance(report, Report)
    with_domain(seen, "h1", domain("other", uuid=report.guests[0].uuid))
    assert move(seen).answer is Answer.HOLD


def test_a_guest_never_goes_to_a_lower_xen_or_to_a_host_that_lacks_what_it_needs(
    seen: Seen,
) -> None:
    seen.changes["h1"] = {"xen_version": "4.16.9"}
    assert "lower than 4.17" in move(seen).reason
    seen.changes = {"h1": {"xen_version": "4.18.0"}}
    assert move(seen).answer is Answer.GO
    report = seen.report("h0")
    assert isinstance(report, Report)
    needy = report.guests[0].model_copy(update={"needs": ("bridge:br7",)})
    seen.changes["h0"] = {"guests": (needy,)}
    assert "does not offer bridge:br7" in move(seen).reason


def test_versions_are_compared_as_numbers() -> None:
    assert version("4.9") < version("4.17") < version("5.0")


@pytest.mark.parametrize(("lasting", "answer"), [(True, Answer.DIFFERS), (False, Answer.HOLD)])
def test_an_obstacle_holds_the_move_or_asks_for_a_new_plan(
    seen: Seen, lasting: bool, answer: Answer
) -> None:
    report = seen.report("h0")
    assert isinstance(report, Report)
    code = ObstacleCode.PCI if lasting else ObstacleCode.PAUSED
    obstacle = Obstacle(code=code, text="is not movable", lasting=lasting)
    stuck = report.guests[0].model_copy(update={"obstacles": (obstacle,)})
    seen.changes["h0"] = {"guests": (stuck,)}
    assert move(seen).answer is answer


def test_a_guest_that_is_gone_needs_no_move_wherever_it_went(seen: Seen) -> None:
    report = seen.report("h0")
    assert isinstance(report, Report)
    seen.changes["h0"] = {"guests": ()}
    assert move(seen).answer is Answer.MOOT
    seen.changes["h1"] = {"guests": report.guests}
    assert move(seen).reason == "g1 is on h1 already"


def leftover(name: str) -> Leftover:
    return Leftover(
        kind=LeftoverKind.MIGRATEDAWAY,
        domid=9,
        name=name,
        uuid="x",
        state="---ss-",
        cpu_time_s=1.0,
        memory_mib=1,
    )


def test_a_host_reboots_only_when_nothing_of_a_guest_is_left_on_it(seen: Seen) -> None:
    reboot = step(Kind.REBOOT)
    assert check(reboot, seen, {}).answer is Answer.DIFFERS
    seen.changes["h0"] = {"guests": ()}
    assert check(reboot, seen, {}).answer is Answer.GO
    seen.changes["h0"] = {"guests": (), "leftovers": (leftover("g9"),)}
    assert "g9" in check(reboot, seen, {}).reason
    seen.changes["h0"] = {"guests": (), "receiving": 1}
    assert check(reboot, seen, {}).answer is Answer.HOLD


def test_a_guest_is_shut_down_only_if_it_could_be_started_again(seen: Seen) -> None:
    stop = step(Kind.STOP)
    assert check(stop, seen, {}).answer is Answer.GO
    report = seen.report("h0")
    assert isinstance(report, Report)
    lost = report.guests[0].model_copy(update={"config_path": None})
    seen.changes["h0"] = {"guests": (lost,)}
    assert "no configuration file" in check(stop, seen, {}).reason
    seen.changes["h0"] = {"guests": ()}
    assert check(stop, seen, {}).answer is Answer.MOOT


def test_a_guest_that_runs_already_needs_no_start(seen: Seen) -> None:
    assert check(step(Kind.START), seen, {}).answer is Answer.MOOT
    seen.changes["h0"] = {"guests": ()}
    assert check(step(Kind.START), seen, {}).answer is Answer.GO


def test_a_cpu_of_another_vendor_takes_no_guest(seen: Seen) -> None:
    seen.changes = {"h0": {"cpu_vendor": "GenuineIntel"}, "h1": {"cpu_vendor": "AuthenticAMD"}}
    found = check(step(Kind.MOVE), seen, {})
    assert (found.answer, found.blame) == (Answer.HOLD, Blame.DESTINATION)
    assert found.reason == "h1 has a CPU of AuthenticAMD, not GenuineIntel"


def test_a_cpu_with_less_takes_a_guest_only_if_that_was_levelled(seen: Seen) -> None:
    levels = ("cpu:x86-64-v1", "cpu:x86-64-v2", "cpu:x86-64-v3")
    seen.changes = {"h0": {"offers": levels}, "h1": {"offers": levels[:2]}}
    found = check(step(Kind.MOVE), seen, {})
    assert found.answer is Answer.HOLD
    assert "h1 does not have cpu:x86-64-v3, which h0 has" in found.reason
    source = seen.report("h0")
    assert isinstance(source, Report)
    guests = tuple(g.model_copy(update={"cpu_levelled": True}) for g in source.guests)
    seen.changes["h0"]["guests"] = guests
    assert check(step(Kind.MOVE), seen, {}).answer is Answer.GO
    seen.changes = {"h0": {"offers": levels[:2]}, "h1": {"offers": levels}}
    assert check(step(Kind.MOVE), seen, {}).answer is Answer.GO, "a CPU with more is fine"


def test_an_order_to_reboot_names_the_guests_that_would_start_and_run_elsewhere(
    seen: Seen,
) -> None:
    links = [BootStart(kind="autostart", text=name) for name in ("g1", "gone")]
    seen.changes = {"h1": {"boot_starts": tuple(links)}}
    reboot = step(Kind.REBOOT).model_copy(update={"host": "h1"})
    assert moved_away(seen, reboot) == ("g1",)
    seen.changes = {"h0": {"boot_starts": tuple(links)}}
    assert moved_away(seen, step(Kind.REBOOT)) == (), "it runs here"
