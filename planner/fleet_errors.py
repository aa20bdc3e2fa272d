"""What can be wrong with a fleet file, each in one line that names the JSON path.

Rows are looked at a thousand or so at a time, and no further than where enough is found: a file
that is wrong from end to end is refused as fast as one that is wrong once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from planner import columns
from planner.columns import Field, Found
from planner.json_text import shown
from planner.ranges import CPUS, LISTED, MEMORY_MIB, VCPUS, XEN_PATTERN, rfc3339

ROWS_AT_A_TIME = 2000

Rows = dict[int, Any]

_NAME = columns.text()
_NAMES = columns.listed(_NAME, "strings")
_XEN = columns.matching(XEN_PATTERN.strip("^$"), 'a Xen version such as "4.17"')
_AT_LEAST_ONE = columns.number(1, 10**9, whole=True)
_SECONDS = columns.number(0, 10**9)
_MEMORY = columns.number(*MEMORY_MIB, whole=True)


def _is_time(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        rfc3339(value)
    except ValueError:
        return False
    return True


_TIME = columns.Kind(
    'an RFC 3339 time such as "2026-11-22T09:30:00Z"', _is_time, lambda v: all(map(_is_time, v))
)
_ANYTHING = columns.Kind("a value", lambda _: True, lambda _: True)

TOP = {
    "format": Field(columns.choice("xenroll.fleet/1")),
    "taken_at": Field(_TIME),
    "policy": Field(columns.Kind("an object", lambda v: type(v) is dict, lambda _: False)),
    "hosts": Field(columns.listed(_ANYTHING, "hosts")),
    "guests": Field(columns.listed(_ANYTHING, "guests")),
}

POLICY = {
    name: Field(kind, required=False)
    for name, kind in {
        "vcpus_per_cpu": columns.number(0, 10**6, above=True),
        "max_moves_out_per_host": _AT_LEAST_ONE,
        "max_moves_in_per_host": _AT_LEAST_ONE,
        "max_hosts_away": columns.or_null(_AT_LEAST_ONE),
        "max_hosts_away_per_group": columns.or_null(_AT_LEAST_ONE),
        "xen_after": columns.or_null(_XEN),
        "move_setup_s": _SECONDS,
        "stream_mbps": columns.number(0, 10**12, above=True),
        "dirty_factor": columns.number(0, 10**6, above=True),
        "reboot_s": _SECONDS,
        "stop_s": _SECONDS,
        "start_s": _SECONDS,
        "max_fill": columns.number(0, 1, above=True),
        "extra_moves": columns.number(0, 10**6),
        "canary_hosts": columns.number(0, 10**9, whole=True),
        "wave_hosts": _AT_LEAST_ONE,
        "gates": columns.choice("canary", "every", "none"),
    }.items()
}

HOST = {
    "name": Field(_NAME),
    "pool": Field(_NAME, required=False),
    "group": Field(columns.or_null(_NAME)),
    "memory_mib": Field(_MEMORY),
    "cpus": Field(columns.number(*CPUS)),
    "xen": Field(_XEN),
    "reboot": Field(columns.choice(True, False)),
    "offers": Field(_NAMES),
}

GUEST = {
    "name": Field(_NAME),
    "uuid": Field(columns.or_null(_NAME), required=False),
    "host": Field(_NAME),
    "vcpus": Field(columns.number(*VCPUS, whole=True)),
    "memory_mib": Field(_MEMORY),
    "overhead_mib": Field(_MEMORY, required=False),
    "needs": Field(_NAMES),
    "apart": Field(_NAMES),
    "class": Field(columns.or_null(_NAME), required=False),
    "evacuation": Field(columns.choice("move", "restart", "hold")),
}


def fleet_problems(document: Any, *, is_whole: bool = True) -> tuple[list[str], bool]:
    """The first problems of a parsed fleet file, and whether those are all.

    A few more than LISTED may be returned. Where the document is not whole, nothing is told of
    what may be yet to come.
    """
    if type(document) is not dict:
        return [f"expected one JSON object, got {shown(document)}"], True
    fields = {name: field for name, field in TOP.items() if is_whole or name in document}
    problems = columns.object_problems(document, fields, "")
    policy = document.get("policy")
    if type(policy) is dict:
        problems += columns.object_problems(policy, POLICY, "policy")
    for batch in _batches(document):
        if len(problems) >= LISTED:
            return problems, False
        problems += [line for _, line in sorted(batch, key=lambda found: found[0])]
    if problems or not is_whole:
        return problems, True
    return _crowded(document["hosts"], document["guests"]), True


def _batches(document: dict[str, Any]) -> Iterator[list[Found]]:
    known = type(document.get("hosts")) is list
    hosts = _rows(document.get("hosts"))
    guests = _rows(document.get("guests"))
    host_names = _Names("hosts", "name", "")
    guest_names = _Names("guests", "name", "host")
    uuids = _Names("guests", "uuid", "name")
    for rows in _some_at_a_time(hosts):
        yield [*columns.row_problems(rows, HOST, "hosts"), *host_names.twice(rows)]
    for rows in _some_at_a_time(guests):
        found = [*columns.row_problems(rows, GUEST, "guests")]
        found += guest_names.twice(rows)
        found += uuids.twice(rows)
        # Without a list of hosts every name would dangle, and hide what is wrong.
        yield [*found, *_dangling(rows, host_names)] if known else found


def _some_at_a_time(rows: list[Any]) -> Iterator[Rows]:
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        yield dict(enumerate(rows[first : first + ROWS_AT_A_TIME], first))


def _rows(value: Any) -> list[Any]:
    return value if type(value) is list else []


class _Names:
    """The values of one field that have to be unique, and the row of each."""

    def __init__(self, path: str, field: str, beside: str) -> None:
        self._path, self._field, self._beside = path, field, beside
        self.rows: dict[str, tuple[int, Any]] = {}

    def twice(self, rows: Rows) -> Iterator[Found]:
        """The rows whose value an earlier row has."""
        for index, row in rows.items():
            value = row.get(self._field) if type(row) is dict else None
            if type(value) is not str:
                continue
            known = self.rows.setdefault(value, (index, row))
            if known[0] != index:
                yield index, self._line(index, row, *known)

    def _line(self, index: int, row: Any, other: int, other_row: Any) -> str:
        line = f"{self._path}[{index}].{self._field}: {shown(row[self._field])}"
        line += f" is taken by {self._path}[{other}]; expected a unique {self._field}"
        if not self._beside:
            return line
        here, there = (shown(r.get(self._beside)) for r in (row, other_row))
        return f"{line} ({self._beside} {here} here, {there} there)"


def _dangling(rows: Rows, hosts: _Names) -> Iterator[Found]:
    for index, row in rows.items():
        name = row.get("host") if type(row) is dict else None
        if type(name) is str and name and name not in hosts.rows:
            yield index, f"guests[{index}].host: no host {shown(name)}"


def _crowded(hosts: list[Any], guests: list[Any]) -> list[str]:
    """Hosts whose guests take more memory than there is: no order of moves can be valid then."""
    taken = {host["name"]: 0 for host in hosts}
    for guest in guests:
        taken[guest["host"]] += guest["memory_mib"] + guest.get("overhead_mib", 0)
    crowded = (
        f"hosts[{index}].memory_mib: {host['memory_mib']} MiB, but the guests on "
        f"{shown(host['name'])} take {taken[host['name']]} MiB"
        for index, host in enumerate(hosts)
        if taken[host["name"]] > host["memory_mib"]
    )
    return list(islice(crowded, LISTED + 1))
