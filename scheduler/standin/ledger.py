"""What happened in a world, from outside: `events`, `running`, `copies`, `audit`.

The ledger is kept by the simulated hypervisors, not by whoever drives them: a guest that could run
twice, or is gone, stands in it whatever the product under test believes.
"""

from __future__ import annotations

from typing import Any

from scheduler.standin import lifecycle
from scheduler.standin.microjson import loads
from scheduler.standin.store import World, look, read_text, runnable

# A guest whose last copy went for one of these reasons is not lost: it ended by itself or was
# asked to, or a saved image of it exists.
ENDED_WELL = {"poweroff", "reboot", "crash", "saved"}
# Copies that were never the guest: they came to nothing before they ran.
NEVER_RAN = {"not restored", "not started"}


def events(world: World) -> list[dict[str, Any]]:
    """Every line of the ledger once, in the order of real time.

    Each has `host`, `seq`, `t` (real time), `at` (simulated), `event` and what belongs to it.
    """
    try:
        text = read_text(f"{world.path}/ledger.jsonl")
    except FileNotFoundError:
        return []
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            entry = loads(line)
        except ValueError:
            continue  # cut short by a kill; its host writes it again at its next change
        lines.setdefault((entry["host"], entry["seq"]), entry)
    return sorted(lines.values(), key=lambda e: (e["t"], e["seq"]))


def running(world: World) -> dict[str, list[str]]:
    """uuid -> hosts where a copy of the guest may run now; guests that run nowhere are missing."""
    found: dict[str, list[str]] = {}
    for host in world.hosts():
        for uuid in runnable(look(world, host)).values():
            found.setdefault(uuid, []).append(host)
    return found


def copies(world: World) -> dict[str, list[tuple[str, str]]]:
    """uuid -> (host, domain name) of every copy, in whatever state; not those still arriving."""
    found: dict[str, list[tuple[str, str]]] = {}
    for host in world.hosts():
        for domain in look(world, host)["domains"]:
            if domain["domid"] and domain["online"]:
                found.setdefault(domain["uuid"], []).append((host, domain["name"]))
    return found


def audit(world: World) -> list[str]:
    """What must never happen and did: a guest running twice, a guest lost, a running guest
    destroyed, two `xl migrate` of one guest at a time, more memory given out than there is."""
    present = copies(world)
    past = events(world)
    return [
        *_ran_twice(past),
        *_lost(past, present),
        *_destroyed_running(past),
        *_overlapping(past),
        *_overcommitted(world),
    ]


def _ran_twice(past: list[dict[str, Any]]) -> list[str]:
    problems = []
    now_running: dict[str, set[tuple[str, int]]] = {}
    for entry in past:
        copy = (entry["host"], entry.get("domid", -1))
        if entry["event"] == "runs":
            others = now_running.setdefault(entry["uuid"], set())
            if others:
                where = ", ".join(f"{host} (domain {domid})" for host, domid in sorted(others))
                problems.append(
                    f"guest {entry['uuid']} ran twice: started on {copy[0]} (domain {copy[1]})"
                    f" at {entry['at']:.1f} while it ran on {where}"
                )
            others.add(copy)
        elif entry["event"] == "stops":
            now_running.setdefault(entry["uuid"], set()).discard(copy)
    return problems


def _lost(past: list[dict[str, Any]], present: dict[str, list[tuple[str, str]]]) -> list[str]:
    last: dict[str, dict[str, Any]] = {}
    for entry in past:
        if entry["event"] == "removed" and entry["why"] not in NEVER_RAN:
            last[entry["uuid"]] = entry
    return [
        f"guest {entry['name']} is lost: its last copy went on {entry['host']} ({entry['why']})"
        for uuid, entry in last.items()
        if uuid not in present and entry["why"] not in ENDED_WELL
    ]


def _destroyed_running(past: list[dict[str, Any]]) -> list[str]:
    return [
        f"guest {entry['name']} was destroyed on {entry['host']} while it ran"
        for entry in past
        if entry["event"] == "removed" and entry["why"] == "destroyed" and entry["ran"]
    ]


def _overlapping(past: list[dict[str, Any]]) -> list[str]:
    return [
        f"two migrations of {entry['name']} at once on {entry['host']}: pid {entry['pid']}"
        f" started while pid {entry['overlaps']} still ran"
        for entry in past
        if entry["event"] == "migrate" and entry["overlaps"] is not None
    ]


def _overcommitted(world: World) -> list[str]:
    return [
        f"host {host} gave out {-free} KiB more than it has"
        for host in world.hosts()
        if (free := lifecycle.free_kib(look(world, host))) < 0
    ]
