"""The example fleet: what it promises to hold, and that it comes from its seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from planner.fleet import Evacuation, Fleet, load_fleet
from scheduler.demo.example import (
    DEMO,
    DEMO_POLICY,
    FRAGILE_CLASS,
    SMALL,
    SMALL_POLICY,
    example_fleet,
    fleet_file,
)
from scheduler.demo.layout import Pace, Places, lay_out
from scheduler.demo.trouble import arm, choose, mend
from scheduler.standin import faults
from scheduler.standin.store import World


@pytest.fixture
def fleet(repository: Path) -> Fleet:
    return load_fleet((repository / "deploy" / "examples" / "demo-fleet.json").read_bytes())


def test_it_has_two_pools_of_at_least_24_hosts_and_240_guests(fleet: Fleet) -> None:
    assert len({host.pool for host in fleet.hosts}) == 2
    assert len(fleet.hosts) >= 24
    assert len(fleet.guests) >= 240
    assert all(host.reboot for host in fleet.hosts)


def test_it_has_guests_of_every_kind(fleet: Fleet) -> None:
    kinds = Counter(need for guest in fleet.guests for need in guest.needs)
    assert min(kinds["pv"], kinds["pvh"], kinds["hvm"]) >= 10
    assert FRAGILE_CLASS in {guest.guest_class for guest in fleet.guests}


def test_it_has_guests_that_stay_apart_and_are_apart_at_the_start(fleet: Fleet) -> None:
    services = Counter((guest.host, name) for guest in fleet.guests for name in guest.apart)
    assert len({name for _, name in services}) >= 20
    assert max(services.values()) == 1


def test_one_guest_holds_a_device_and_is_restarted(fleet: Fleet) -> None:
    assert [g.evacuation for g in fleet.guests].count(Evacuation.RESTART) == 1


def test_a_guest_of_a_sturdy_class_refuses_and_one_of_the_fragile_class_dies(fleet: Fleet) -> None:
    trouble = choose(fleet)
    classes = {guest.name: guest.guest_class for guest in fleet.guests}
    assert [classes[name] == FRAGILE_CLASS for name in trouble.refusing] == [False]
    assert [classes[name] == FRAGILE_CLASS for name in trouble.crashing] == [True]


def test_the_whole_fragile_class_crashes_where_that_is_wanted_until_it_is_mended(
    fleet: Fleet, tmp_path: Path
) -> None:
    trouble = choose(fleet, whole_class=True)
    fragile = {guest.name for guest in fleet.guests if guest.guest_class == FRAGILE_CLASS}
    assert set(trouble.crashing) == fragile and len(fragile) > 5
    places, pace = Places(tmp_path / "state"), Pace(speed=60, report_interval_s=10, workers=1)
    lay_out(places, fleet, fleet_file(fleet).encode(), pace, frozenset())
    arm(places.world, trouble)
    world = World(str(places.world))

    def dies(name: str) -> bool:
        return faults.armed(world, faults.GUEST, name, "crashes-on-resume") is not None

    assert set(filter(dies, fragile)) == fragile
    mend(places.world, trouble)
    assert not any(map(dies, fragile))
    assert faults.armed(world, faults.GUEST, trouble.refusing[0], "ignores-suspend") is not None


def test_the_file_is_what_its_seed_gives(fleet: Fleet, repository: Path) -> None:
    written = (repository / "deploy" / "examples" / "demo-fleet.json").read_text()
    assert fleet_file(example_fleet(17, DEMO, DEMO_POLICY)) == written


def test_another_seed_gives_another_fleet_that_can_be_loaded_too() -> None:
    files = [fleet_file(example_fleet(seed, SMALL, SMALL_POLICY)) for seed in range(5)]
    assert len(set(files)) == 5
    for text in files:
        assert len(load_fleet(text.encode()).hosts) == 6
