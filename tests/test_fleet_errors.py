"""A fleet file that is wrong is refused with a line for each thing that is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from planner.fleet import Fleet, FleetError, load_fleet
from planner.fleet_errors import GUEST, HOST, ROWS_AT_A_TIME, TOP
from planner.fleet_read import BEGINNING_BYTES
from planner.ranges import LISTED
from tests.fleet_documents import changed, document


def refused(made: Any) -> FleetError:
    with pytest.raises(FleetError) as raised:
        load_fleet(made if isinstance(made, bytes) else json.dumps(made).encode())
    assert raised.value.problems
    assert not any("\n" in line for line in raised.value.problems)
    return raised.value


def problems(made: Any) -> list[str]:
    return refused(made).problems


NO_DOCUMENT = {
    "empty": (b"", "the file is empty; expected one JSON object"),
    "blank": (b" \n", "the file is empty; expected one JSON object"),
    "cut": (b'{"format": ', "line 1, column 12: "),
    "garbage behind": (b"{} x", "line 1, column 4: unexpected content after document"),
    "two objects": (b"{}{}", "line 1, column 3: unexpected content after document"),
    "not UTF-8": (b'{"a": "\xff"}', "byte 7: not UTF-8 (0xff)"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "UTF-8 byte order mark"),
    "not a number": (b'{"a":\n NaN}', "line 2, column 2: NaN is not a JSON number"),
    "infinity": (b'{"a": Infinity}', "line 1, column 7: Infinity is not a JSON number"),
    "minus infinity": (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
    "a number too large": (b'{"a": 1e999}', "line 1, column 7: "),
    "half a character": (b'{"a": "\\ud800"}', "line 1, column "),
    "too deep": (b"[" * 100_000, "line 1, column "),
    "a list": (b"[]", "expected one JSON object, got []"),
    "null": (b"null", "expected one JSON object, got null"),
}


@pytest.mark.parametrize("name", NO_DOCUMENT)
def test_what_is_no_json_object_is_refused_in_one_line(name: str) -> None:
    data, expected = NO_DOCUMENT[name]
    [line] = problems(data)
    assert expected in line


NAME, TEXT_LIST = "a non-empty string without control characters", "a list of strings"
WRONG = [
    ("format", "xenroll.fleet/2", 'format: expected "xenroll.fleet/1", got "xenroll.fleet/2"'),
    (
        "taken_at",
        "2026-11-22",
        'taken_at: expected an RFC 3339 time such as "2026-11-22T09:30:00Z"',
    ),
    ("taken_at", "2026-13-22T09:30:00Z", "taken_at: expected an RFC 3339 time"),
    ("taken_at", "2026-11-22T09:30:00", "taken_at: expected an RFC 3339 time"),
    ("taken_at", 5, "taken_at: expected an RFC 3339 time"),
    ("policy", None, "policy: expected an object, got null"),
    ("hosts", {}, "hosts: expected a list of hosts, got {}"),
    ("guests", "none", 'guests: expected a list of guests, got "none"'),
    ("more", 1, "more: unknown field; expected one of format, taken_at, policy, hosts, guests"),
    ("policy.vcpus_per_cpu", 0, "policy.vcpus_per_cpu: expected a number above 0, at most 1000000"),
    (
        "policy.max_moves_out_per_host",
        0,
        "policy.max_moves_out_per_host: expected an integer from 1",
    ),
    (
        "policy.max_moves_in_per_host",
        1.5,
        "policy.max_moves_in_per_host: expected an integer from 1",
    ),
    ("policy.max_hosts_away", -1, "policy.max_hosts_away: expected an integer from 1"),
    (
        "policy.max_hosts_away_per_group",
        True,
        "policy.max_hosts_away_per_group: expected an integer",
    ),
    ("policy.xen_after", "4", 'policy.xen_after: expected a Xen version such as "4.17", or null'),
    ("policy.xen_after", 4.17, 'policy.xen_after: expected a Xen version such as "4.17", or null'),
    ("policy.move_setup_s", -0.5, "policy.move_setup_s: expected a number from 0"),
    ("policy.stream_mbps", 0, "policy.stream_mbps: expected a number above 0"),
    ("policy.dirty_factor", "1.15", "policy.dirty_factor: expected a number above 0"),
    ("policy.reboot_s", None, "policy.reboot_s: expected a number from 0"),
    ("policy.stop_s", [], "policy.stop_s: expected a number from 0"),
    ("policy.start_s", -30, "policy.start_s: expected a number from 0"),
    ("policy.max_fill", 0, "policy.max_fill: expected a number above 0, at most 1, got 0"),
    ("policy.max_fill", 1.01, "policy.max_fill: expected a number above 0, at most 1, got 1.01"),
    ("policy.extra_moves", -0.01, "policy.extra_moves: expected a number from 0"),
    ("policy.canary_hosts", -1, "policy.canary_hosts: expected an integer from 0"),
    ("policy.wave_hosts", 0, "policy.wave_hosts: expected an integer from 1"),
    ("policy.gates", "all", 'policy.gates: expected "canary" or "every" or "none", got "all"'),
    ("policy.max_hosts", 3, "policy.max_hosts: unknown field; expected one of vcpus_per_cpu"),
    ("hosts.1", "n2", 'hosts[1]: expected an object, got "n2"'),
    ("hosts.1.name", "", f'hosts[1].name: expected {NAME}, got ""'),
    ("hosts.1.name", "n\x1b2", f'hosts[1].name: expected {NAME}, got "n\\u001b2"'),
    ("hosts.1.pool", None, f"hosts[1].pool: expected {NAME}, got null"),
    ("hosts.1.group", 3, f"hosts[1].group: expected {NAME}, or null, got 3"),
    ("hosts.1.memory_mib", 65536.0, "hosts[1].memory_mib: expected an integer from 0"),
    ("hosts.1.memory_mib", -1, "hosts[1].memory_mib: expected an integer from 0"),
    ("hosts.1.memory_mib", 10**30, "hosts[1].memory_mib: expected an integer from 0"),
    ("hosts.1.cpus", -0.5, "hosts[1].cpus: expected a number from 0"),
    ("hosts.1.xen", "4.17.2", 'hosts[1].xen: expected a Xen version such as "4.17", got "4.17.2"'),
    ("hosts.1.reboot", 1, "hosts[1].reboot: expected true or false, got 1"),
    ("hosts.1.offers", "san", f'hosts[1].offers: expected {TEXT_LIST}, got "san"'),
    ("hosts.1.offers", ["san", 3], f"hosts[1].offers[1]: expected {NAME}, got 3"),
    ("guests.1", None, "guests[1]: expected an object, got null"),
    ("guests.1.name", ["b"], f'guests[1].name: expected {NAME}, got ["b"]'),
    ("guests.1.uuid", "", f'guests[1].uuid: expected {NAME}, or null, got ""'),
    ("guests.1.host", "x9", 'guests[1].host: no host "x9"'),
    ("guests.1.vcpus", 2.5, "guests[1].vcpus: expected an integer from 0"),
    ("guests.1.vcpus", False, "guests[1].vcpus: expected an integer from 0"),
    ("guests.1.memory_mib", "4096", "guests[1].memory_mib: expected an integer from 0"),
    ("guests.1.overhead_mib", -1, "guests[1].overhead_mib: expected an integer from 0"),
    ("guests.1.needs", None, f"guests[1].needs: expected {TEXT_LIST}, got null"),
    ("guests.1.needs", [""], f'guests[1].needs[0]: expected {NAME}, got ""'),
    ("guests.1.apart", {"a": 1}, f"guests[1].apart: expected {TEXT_LIST}"),
    ("guests.1.class", "a\tb", f"guests[1].class: expected {NAME}, or null"),
    ("guests.1.evacuation", "kill", 'guests[1].evacuation: expected "move" or "restart" or "hold"'),
    ("guests.1.evacuation", ["move"], "guests[1].evacuation: expected "),
    ("guests.1.guest_class", "pvh", "guests[1].guest_class: unknown field; expected one of name"),
    ("guests.1.a\nb", 1, 'guests[1]."a\\nb": unknown field'),
]


@pytest.mark.parametrize(("path", "value", "expected"), WRONG)
def test_a_wrong_value_is_told_with_its_path_and_what_was_expected(
    path: str, value: Any, expected: str
) -> None:
    line, *consequences = problems(changed(path, value))
    assert line.startswith(expected)
    assert consequences in ([], ['guests[1].host: no host "n2"'])


@pytest.mark.parametrize(("path", "value", "expected"), WRONG)
def test_the_models_refuse_what_the_file_must_not_hold(
    path: str, value: Any, expected: str
) -> None:
    """Reading and building fleets keep to the same ranges."""
    data = json.dumps(changed(path, value))
    if "no host" not in expected:
        with pytest.raises(ValidationError):
            Fleet.model_validate_json(data, by_alias=True, by_name=False)


REQUIRED = [
    *TOP,
    *(f"hosts.1.{name}" for name, field in HOST.items() if field.required),
    *(f"guests.1.{name}" for name, field in GUEST.items() if field.required),
]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_field_is_told_with_its_path(path: str) -> None:
    made = changed(path, None)
    at: Any = made
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part) if part.isdigit() else part]
    del at[last]
    where = path.replace(".1", "[1]")
    assert any(line.startswith(f"{where}: missing; expected ") for line in problems(made))


def test_hosts_and_guests_of_one_name_are_told_with_both_places() -> None:
    made = document()
    made["hosts"].append(made["hosts"][0])
    made["guests"].append(made["guests"][0] | {"host": "n2", "uuid": None})
    made["guests"].append(made["guests"][0] | {"name": "c"})
    assert problems(made) == [
        'hosts[2].name: "n1" is taken by hosts[0]; expected a unique name',
        'guests[2].name: "a" is taken by guests[0]; expected a unique name '
        '(host "n2" here, "n1" there)',
        'guests[3].uuid: "u-1" is taken by guests[0]; expected a unique uuid '
        '(name "c" here, "a" there)',
    ]


def test_a_key_that_stands_twice_in_one_object_is_told_with_its_path() -> None:
    data = json.dumps(document())
    twice = data.replace('"vcpus": 1', '"vcpus" : 1, "vcpus":2')
    assert problems(twice.encode()) == [
        "guests[0].vcpus: stands twice in one object",
        "guests[1].vcpus: stands twice in one object",
    ]
    top = data.replace('"hosts":', '"policy": {"gates": "none", "gates": "every"}, "hosts":')
    assert problems(top.encode()) == [
        "policy: stands twice in one object",
        "policy.gates: stands twice in one object",
    ]


def test_a_name_that_looks_like_a_key_is_no_key() -> None:
    made = changed("guests.1.class", 'vcpus":')
    made["guests"][0]["class"] = '": '
    assert load_fleet(json.dumps(made).encode()).guests[1].guest_class == 'vcpus":'


def test_guests_that_take_more_memory_than_their_host_has_are_told() -> None:
    """No order of moves could be valid: every host has to hold its guests at every moment."""
    assert problems(changed("hosts.1.memory_mib", 4135)) == [
        'hosts[1].memory_mib: 4135 MiB, but the guests on "n2" take 4136 MiB'
    ]
    load_fleet(json.dumps(changed("hosts.1.memory_mib", 4136)).encode())


def test_a_host_above_its_vcpus_is_no_bad_input() -> None:
    load_fleet(json.dumps(changed("guests.1.vcpus", 1000)).encode())


def test_all_problems_are_listed_in_the_order_of_the_file() -> None:
    made = document()
    made["taken_at"] = "now"
    made["policy"]["max_fill"] = 2
    made["hosts"][0]["xen"] = "?"
    made["guests"][0]["vcpus"] = -1
    made["guests"][0]["host"] = "x9"
    made["guests"][1]["memory_mib"] = -1
    del made["guests"][1]["needs"]
    paths = [line.split(":")[0] for line in problems(made)]
    assert paths == [
        "taken_at",
        "policy.max_fill",
        "hosts[0].xen",
        "guests[0].vcpus",
        "guests[0].host",
        "guests[1].memory_mib",
        "guests[1].needs",
    ]


def many(guests: int, **fields: Any) -> dict[str, Any]:
    made = document()
    one = made["guests"][1] | fields
    made["guests"] = [one | {"name": f"g{n}"} for n in range(guests)]
    made["hosts"][1]["memory_mib"] = 10**9
    return made


def test_the_first_twenty_problems_are_listed_and_the_rest_counted() -> None:
    error = refused(many(LISTED + 7, vcpus=-1))
    assert error.problems[-1].startswith(f"guests[{LISTED - 1}].vcpus: ")
    assert (len(error.problems), error.more, error.all_seen) == (LISTED, 7, True)


def test_a_file_that_is_wrong_from_end_to_end_is_not_read_to_its_end() -> None:
    error = refused(many(2 * ROWS_AT_A_TIME, host="x9"))
    assert len(error.problems) == LISTED
    assert error.more == ROWS_AT_A_TIME - LISTED
    assert not error.all_seen


def test_a_problem_in_the_last_row_of_many_is_found() -> None:
    made = many(2 * ROWS_AT_A_TIME + 1)
    made["guests"][-1]["evacuation"] = "x"
    assert [line.split(":")[0] for line in problems(made)] == [
        f"guests[{2 * ROWS_AT_A_TIME}].evacuation"
    ]
    made["guests"][-1] = made["guests"][-1] | {"evacuation": "move", "name": "g0"}
    assert "is taken by guests[0]" in problems(made)[0]


def test_of_a_large_file_the_beginning_is_looked_at_before_all_of_it_is_parsed() -> None:
    guests = 2 * BEGINNING_BYTES // 100
    data = json.dumps(many(guests, vcpus=-1)).encode()
    assert len(data) > 2 * BEGINNING_BYTES
    error = refused(data[:-1])
    assert error.problems == refused(many(LISTED, vcpus=-1)).problems
    assert not error.all_seen
    twice = refused(data.replace(b'"vcpus": -1', b'"vcpus": 1, "vcpus": 1')[:-1])
    assert twice.problems[-1] == f"guests[{LISTED - 1}].vcpus: stands twice in one object"


def test_a_large_file_whose_hosts_come_last_is_read_as_it_is_meant() -> None:
    made = many(2)
    made["hosts"] += [made["hosts"][0] | {"name": f"h{n}"} for n in range(BEGINNING_BYTES // 50)]
    for guest in made["guests"]:
        guest["host"] = made["hosts"][-1]["name"]
    made["hosts"][-1]["memory_mib"] = 10**6
    data = json.dumps(made | {"hosts": made.pop("hosts")}).encode()
    assert data.index(b'"guests"') < data.index(b'"hosts"')
    assert len(load_fleet(data).guests) == 2
    assert problems(data[:-1])[0].startswith("line 1, column ")
