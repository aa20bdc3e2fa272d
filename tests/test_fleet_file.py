"""A fleet file is read as it is meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from planner.fleet import Evacuation, Fleet, Gates, Policy, load_fleet
from tests.fleet_documents import document
from tests.fleets import small_fleets
from tests.make import fleet, fleet_json, guest, host


def test_a_fleet_file_is_read_as_it_is_meant() -> None:
    seen = load_fleet(json.dumps(document()).encode())
    assert seen.hosts[0] == host("n1", group="rack1", offers=["san"])
    assert seen.guests[1] == guest("b", "n2", overhead_mib=40)
    assert seen.guests[0].guest_class == "pvh"
    assert seen.guests[0].evacuation is Evacuation.MOVE
    assert seen.policy.gates is Gates.NONE


def test_fields_with_a_default_may_be_left_out() -> None:
    made = document()
    made["policy"] = {}
    del made["hosts"][1]["pool"]
    for name in ("uuid", "overhead_mib", "class"):
        del made["guests"][0][name]
    seen = load_fleet(json.dumps(made).encode())
    assert seen.policy == Policy()
    assert seen.hosts[1].pool == "default"
    assert (seen.guests[0].uuid, seen.guests[0].overhead_mib) == (None, 0)
    assert seen.guests[0].guest_class is None


def test_the_defaults_are_the_formats() -> None:
    policy = Policy()
    assert (policy.vcpus_per_cpu, policy.max_fill, policy.extra_moves) == (4.0, 1.0, 0.02)
    assert (policy.max_moves_out_per_host, policy.max_moves_in_per_host) == (2, 2)
    assert (policy.max_hosts_away, policy.max_hosts_away_per_group) == (None, None)
    assert (policy.reboot_s, policy.stop_s, policy.start_s) == (420, 30, 30)
    assert (policy.canary_hosts, policy.wave_hosts, policy.gates) == (1, 50, Gates.CANARY)
    assert policy.xen_after is None


def test_a_migration_lasts_its_setup_and_the_time_of_its_bytes() -> None:
    gigabyte_mib, policy = 1024, Policy(stream_mbps=1000.0, dirty_factor=1.0, move_setup_s=3.0)
    assert policy.move_s(gigabyte_mib) == pytest.approx(3 + 2**30 * 8 / 1e9)


def test_a_guest_takes_its_memory_and_its_overhead() -> None:
    assert guest("a", "n1", gib=2, overhead_mib=40).room_mib == 2088


@pytest.mark.parametrize(("to_reboot", "away"), [(0, 0), (1, 1), (10, 1), (11, 2), (100, 10)])
def test_a_tenth_of_the_hosts_to_reboot_may_be_away(to_reboot: int, away: int) -> None:
    hosts = [host(f"n{n}") for n in range(to_reboot)] + [host("kept", reboot=False)]
    assert fleet(hosts).max_hosts_away == away
    assert fleet(hosts, max_hosts_away=7).max_hosts_away == 7


def test_an_empty_fleet_is_a_fleet() -> None:
    assert load_fleet(fleet_json(fleet([]))).hosts == ()


@settings(max_examples=100, deadline=None)
@given(small_fleets())
def test_what_is_written_is_read_again(seen: Fleet) -> None:
    assert load_fleet(fleet_json(seen)) == seen
