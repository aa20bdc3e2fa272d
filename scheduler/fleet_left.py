"""The fleet of the newest plan with what was done since, to plan what-ifs on. Pure.

Nothing is carried out on it: what is under way counts as done, hosts that the rollout goes on
without are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.wire import Kind
from scheduler.book import Book
from scheduler.rollout import HostState, Step, StepState
from scheduler.states import UNDER_WAY

SAFE = frozenset({HostState.FIXED, HostState.UNAFFECTED, HostState.REBOOTING})


def fleet_left(book: Book, document: Mapping[str, Any]) -> dict[str, Any]:
    """The fleet document as far as the rollout has come."""
    gone = {host.name for host in book.hosts.values() if host.left_out or host.lost}
    policy = dict(document["policy"])
    begun = any(host.state in SAFE for host in book.hosts.values() if host.wave is not None)
    if begun:
        policy["canary_hosts"] = 0
    rows = [row for row in document["hosts"] if row["name"] not in gone]
    hosts = [_host(book, row, policy["xen_after"]) for row in rows]
    names = {row["name"] for row in hosts}
    places = _places(book)
    guests = [_guest(book, row, places) for row in document["guests"] if not _ended(book, row)]
    there = [row for row in guests if row["host"] in names]
    return {**document, "policy": policy, "hosts": hosts, "guests": there}


def _places(book: Book) -> dict[str, str]:
    """Where the newest plan's moves have taken guests, or are just taking them."""
    moves = [step for step in book.steps.values() if _counts(step, book.rollout.generation)]
    moves.sort(key=lambda step: (step.ended_at is None, step.ended_at, step.id))
    return {step.guest or "": step.destination or step.host for step in moves}


def _counts(step: Step, generation: int) -> bool:
    done = step.state is StepState.DONE and step.outcome == "moved"
    newest = step.kind is Kind.MOVE and step.generation == generation
    return newest and (done or step.state in UNDER_WAY)


def _host(book: Book, row: Mapping[str, Any], xen_after: str | None) -> dict[str, Any]:
    host = book.hosts.get(row["name"])
    if host is None or not row["reboot"] or host.state not in SAFE:
        return dict(row)
    return {**row, "reboot": False, "xen": xen_after or row["xen"]}


def _ended(book: Book, row: Mapping[str, Any]) -> bool:
    record = book.guests.get(row["name"])
    return record is not None and record.crashed


def _guest(book: Book, row: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    record = book.guests.get(row["name"])
    stuck = record is not None and record.evacuation is not None and row["evacuation"] == "move"
    evacuation = "hold" if stuck else row["evacuation"]
    return {**row, "host": places.get(row["name"], row["host"]), "evacuation": evacuation}


def with_spares(document: Mapping[str, Any], number: int) -> tuple[dict[str, Any], str]:
    """The same with so many empty hosts more, where most hosts wait; and whom they are like.

    Raises ValueError where no host waits for its reboot.
    """
    waiting = [row for row in document["hosts"] if row["reboot"]]
    pools = sorted({row["pool"] for row in waiting})
    pool = max(pools, key=lambda name: sum(row["pool"] == name for row in waiting))
    like = max(
        (row for row in waiting if row["pool"] == pool),
        key=lambda row: (row["memory_mib"], row["name"]),
    )
    xen = document["policy"]["xen_after"] or like["xen"]
    made = {**like, "reboot": False, "xen": xen, "group": None}
    known = {row["name"] for row in document["hosts"]}
    names = (f"spare-{n}" for n in range(1, number + len(known) + 1))
    free = [name for name in names if name not in known][:number]
    spares = [{**made, "name": name} for name in free]
    words = f"{like['name']} in pool {pool}"
    return {**document, "hosts": [*document["hosts"], *spares]}, words
