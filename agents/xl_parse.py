"""What `xl` and `xen-livepatch` print, read into values. Pure; every failure is a ParseError.

Formats: Xen 4.14 to 4.22, checked against recordings of 4.17.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from agents.wire import Domain

ROW = re.compile(
    r"^(?P<name>.*?)\s+(?P<domid>\d+)\s+(?P<mem>\d+)\s+(?P<vcpus>\d+)\s+"
    r"(?P<state>[-r][-b][-p][-s][-rscwS?][-d])\s+(?P<time>\d+\.\d)"
    r"(?:\s+(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s+(?P<reason>\S+)\s+\S+)?\s*$"
)
"""A row of `xl list [-v]`. The columns hold no blanks, the name may: hence read from the right."""

POOL_ROW = re.compile(
    r"^(?P<name>.*?)\s+(?P<cpus>\d+)\s+(?P<sched>\S+)\s+(?P<active>[yn])\s+(?P<domains>\d+)\s*$"
)
PATCH_ROW = re.compile(r"^ ?(?P<name>\S+)\s*\|\s*(?P<state>[A-Z]+|unknown)\b[^|]*(?:\||$)")


class ParseError(Exception):
    """A program printed something else than it does; the text says what and where."""


@dataclass(frozen=True)
class Info:
    """What `xl info` says of the host."""

    xen_version: str
    build_id: str
    cpus: int
    memory_total_mib: int
    memory_free_mib: int
    virt_caps: tuple[str, ...]
    hw_caps: tuple[int, ...]  # eight 32-bit words, as Xen orders its feature set
    nodes: int = 1  # of NUMA


@dataclass(frozen=True)
class Pool:
    """A row of `xl cpupool-list`."""

    name: str
    cpus: int
    scheduler: str
    active: bool
    domains: int


def parse_info(text: str) -> Info:
    """`key : value` lines. xl leaves blocks out and still ends with 0, so each key is checked."""
    pairs = dict(_pair(line) for line in text.splitlines() if ":" in line)
    return Info(
        xen_version=_need(pairs, "xen_version"),
        build_id=pairs.get("build_id", ""),
        cpus=_number(pairs, "nr_cpus"),
        memory_total_mib=_number(pairs, "total_memory"),
        memory_free_mib=_number(pairs, "free_memory"),
        virt_caps=tuple(pairs.get("virt_caps", "").split()),
        hw_caps=_words(pairs.get("hw_caps", "")),
        nodes=_number(pairs, "nr_nodes") if "nr_nodes" in pairs else 1,
    )


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


def _need(pairs: dict[str, str], key: str) -> str:
    if not pairs.get(key):
        raise ParseError(f"xl info: no line `{key}`")
    return pairs[key]


def _number(pairs: dict[str, str], key: str) -> int:
    value = _need(pairs, key)
    if not value.isascii() or not value.isdigit():
        raise ParseError(f"xl info: `{key}` is no whole number: {value[:40]!r}")
    return int(value)


def _words(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word, 16) for word in text.split(":") if word)
    except ValueError:
        raise ParseError(f"xl info: `hw_caps` is not hexadecimal: {text[:40]!r}") from None


def _rows(text: str, title: str, *headings: str) -> list[str]:
    """The lines below the heading, which must be there."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not all(heading in lines[0] for heading in headings):
        found = lines[0][:60] if lines else ""
        raise ParseError(f"{title}: expected the heading {'…'.join(headings)}, found {found!r}")
    return lines[1:]


def _match(pattern: re.Pattern[str], line: str, title: str) -> re.Match[str]:
    found = pattern.match(line)
    if not found:
        raise ParseError(f"{title}: cannot read the row {line[:120]!r}")
    return found


def parse_list(text: str) -> tuple[Domain, ...]:
    """`xl list -v`, Domain-0 included. Names may hold blanks, or be `(null)`. Raises ParseError."""
    rows = [_match(ROW, line, "xl list -v") for line in _rows(text, "xl list -v", "Name", "UUID")]
    domains = tuple(_domain(row) for row in rows)
    names = [domain.name for domain in domains if domain.domid == 0]
    if not names:
        raise ParseError("xl list -v: Domain-0 is not in it")
    if names[0] == "(null)":  # names come from xenstore
        raise ParseError("xl list -v: Domain-0 has no name: xenstored does not answer")
    return domains


def _domain(row: re.Match[str]) -> Domain:
    if row["uuid"] is None:
        raise ParseError(f"xl list -v: no UUID in the row {row[0][:120]!r}")
    return Domain(
        domid=int(row["domid"]),
        name=row["name"],
        uuid=row["uuid"],
        memory_mib=int(row["mem"]),
        vcpus=int(row["vcpus"]),
        state=row["state"],
        cpu_time_s=float(row["time"]),
    )


def parse_configs(text: str) -> dict[int, dict[str, Any]]:
    """`xl list -l`: domid -> its `config`. Domains that could not be read are not in it.

    Raises ParseError.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"xl list -l: is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise ParseError("xl list -l: expected a list")
    return dict(_config(entry) for entry in entries)


def _config(entry: object) -> tuple[int, dict[str, Any]]:
    if not isinstance(entry, dict):
        raise ParseError("xl list -l: expected a list of objects")
    domid, config = entry.get("domid"), entry.get("config")
    if not isinstance(domid, int) or not isinstance(config, dict):
        raise ParseError("xl list -l: an entry without `domid` and `config`")
    for part in ("c_info", "b_info"):
        if not isinstance(config.get(part), dict):
            raise ParseError(f"xl list -l: domain {domid} has no `{part}`")
    return domid, config


def parse_cpupools(text: str) -> tuple[Pool, ...]:
    """`xl cpupool-list`."""
    title = "xl cpupool-list"
    rows = (_match(POOL_ROW, line, title) for line in _rows(text, title, "Name", "Domain count"))
    return tuple(
        Pool(r["name"], int(r["cpus"]), r["sched"], r["active"] == "y", int(r["domains"]))
        for r in rows
    )


def parse_livepatches(text: str) -> tuple[tuple[str, str], ...]:
    """`xen-livepatch list`: (name, state) in order; `CHECKED` is loaded but not active."""
    title = "xen-livepatch list"
    if text.strip() == "Nothing to list":
        return ()
    lines = [line for line in _rows(text, title, "ID", "status") if set(line.strip()) - {"-", "+"}]
    rows = (_match(PATCH_ROW, line, title) for line in lines)
    return tuple((row["name"], row["state"]) for row in rows)


def is_of(config: dict[str, Any] | None, uuid: str) -> bool:
    """Whether a configuration is this guest's, not that of one which had its domid before."""
    return config is not None and config["c_info"].get("uuid") == uuid
