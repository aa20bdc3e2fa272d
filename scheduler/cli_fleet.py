"""`xenroll host …`, `xenroll guest …`, `xenroll inventory …`: what is seen, and what is wished."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.wire import Disk
from scheduler.cli_ask import Refused, segment
from scheduler.cli_closed import host_closed
from scheduler.cli_enroll import host_enroll, host_withdraw
from scheduler.cli_evidence import guest_evidence
from scheduler.cli_exit import Exit
from scheduler.cli_people import Reason, ask, chosen, people, why
from scheduler.cli_print import Column, Format, Row, document, print_lines, print_rows
from scheduler.inventory import InventoryError, load_inventory
from scheduler.monitors import WORDS

hosts = typer.Typer(no_args_is_help=True, help="What the hosts' agents report.")
guests = typer.Typer(no_args_is_help=True, help="The guests, as the hosts show them.")
inventory = typer.Typer(no_args_is_help=True, help="Pools, racks, owners' wishes: a JSON file.")

NONE_YET = "no inventory yet; apply one with `xenroll inventory apply FILE`"


def _age_s(row: Row) -> str:
    if row["reported_at"] is None:
        return "-"
    return f"{(datetime.now(UTC) - datetime.fromisoformat(row['reported_at'])).total_seconds():.0f}"


HOSTS = (
    Column("HOST", "name"),
    Column("POOL", "pool", wide=True),
    Column("GROUP", "group", wide=True),
    Column("XEN", "xen_version"),
    Column("BUILD", lambda row: row["build_id"][:12]),
    Column("LIVE PATCHES", lambda row: ", ".join(row["livepatches"]), wide=True),
    Column("GUESTS", lambda row: row["guests"] if row["reported_at"] else "-"),
    Column("CPUS", "cpus", wide=True),
    Column("FREE MIB", lambda row: row["memory_free_mib"] if row["reported_at"] else "-"),
    Column("OF", lambda row: row["memory_total_mib"] if row["reported_at"] else "-"),
    Column("AGENT", "agent_version", wide=True),
    Column("AGE S", _age_s),
    Column("ROLLOUT", "rollout"),
    Column("TROUBLE", lambda row: row["trouble"] if row["reported_at"] else "never reported"),
)


@people(hosts, "list", watch=True)
def host_list() -> None:
    """Every host of the inventory with its newest report."""
    found = ask().all("/hosts")
    if not found:
        raise Refused(Exit.BAD_INPUT, NONE_YET)
    print_rows(found, HOSTS, chosen())


@people(hosts, "show", watch=True)
def host_show(name: str) -> None:
    """One host: what it runs, what is left over, what its boot would start."""
    seen = ask().get(f"/hosts/{segment(name)}")
    if seen["reported_at"] is None:
        raise Refused(Exit.REFUSED, seen["trouble"] or f"{name} has never reported")
    print_lines(seen, _host_lines(seen), chosen())


def _host_lines(seen: Row) -> list[str]:
    return [
        f"host {seen['name']}: Xen {seen['xen_version']}, build {seen['build_id']}",
        f"boot id {seen['boot_id']}, "
        f"reported {_age_s(seen)} s ago by agent {seen['agent_version']}",
        f"memory {seen['memory_free_mib']} of {seen['memory_total_mib']} MiB free, "
        f"{seen['cpus']} CPUs",
        f"live patches applied: {', '.join(seen['livepatches']) or 'none'}",
        f"offers: {', '.join(seen['offers']) or 'nothing'}",
        *([f"trouble: {seen['trouble']}"] if seen["trouble"] else []),
        *(
            f"left over: {x['name']} ({x['kind']}, domain {x['domid']}, {x['state']})"
            for x in seen["leftovers"]
        ),
        *(f"would start at boot: {one['kind']}: {one['text']}" for one in seen["boot_starts"]),
        *(f"put aside, would have started at boot: {name}" for name in seen["put_aside"]),
        *(f"attempt {a['attempt_id']}: {a['state']} {a['reason']}" for a in seen["attempts"]),
        *(f"guest {one['name']}: {_words(one)}" for one in seen["guests_seen"]),
    ]


def _words(guest: Row) -> str:
    facts = f"{guest['type']}, {guest['vcpus']} vCPUs, {guest['memory_mib']} MiB, {guest['state']}"
    return "; ".join([facts, *_obstacles(guest)])


def _obstacles(guest: Row) -> list[str]:
    return [str(one["text"]) for one in guest["obstacles"]]


people(hosts, "closed", watch=True)(host_closed)
people(hosts, "enroll", without=["server", "form"])(host_enroll)
people(hosts, "withdraw", without=["server", "form"])(host_withdraw)

GUESTS = (
    Column("GUEST", "name"),
    Column("HOST", "host"),
    Column("TYPE", "type"),
    Column("VCPUS", "vcpus"),
    Column("MIB", "memory_mib"),
    Column("STATE", "state"),
    Column("CLASS", "guest_class"),
    Column("OWNER", "owner", wide=True),
    Column("DOMAIN", "domid", wide=True),
    Column("UUID", "uuid", wide=True),
    Column("NEEDS", lambda row: ", ".join(row["needs"]), wide=True),
    Column("OBSTACLES", lambda row: "; ".join(_obstacles(row))),
)


@people(guests, "list", watch=True)
def guest_list(
    host: Annotated[str | None, typer.Option(help="Only the guests of this host.")] = None,
) -> None:
    """Every guest with the host that shows it."""
    print_rows(ask().all("/guests", host=host), GUESTS, chosen())


@people(guests, "show", watch=True)
def guest_show(name: str) -> None:
    """One guest: where it runs, and what would keep it from being moved."""
    found = ask().get(f"/guests/{segment(name)}")
    print_lines(found, [line for one in found for line in _guest_lines(one)], chosen())


def _guest_lines(one: Row) -> list[str]:
    return [
        f"guest {one['name']} on {one['host']} (domain {one['domid']}): {_words(one)}",
        f"uuid {one['uuid']}, class {one['guest_class'] or '-'}",
        f"needs {', '.join(one['needs']) or 'nothing'}",
        *(f"disk {_disk(Disk.model_validate(disk))}" for disk in one.get("disks") or ()),
        f"can be started from {one['config_path'] or 'no file: never restarted'}",
        *([f"runs {WORDS}"] if one.get("monitored") is False else ()),
    ]


def _disk(disk: Disk) -> str:
    return f"{disk}: not checked before a move: {disk.unchecked}" if disk.unchecked else str(disk)


people(guests, "evidence")(guest_evidence)


@people(inventory, "apply")
def inventory_apply(
    file: Annotated[Path, typer.Argument(help="The file; - for stdin.")], reason: Reason = ""
) -> None:
    """Check an inventory and use it from now on."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        loaded = load_inventory(raw)
    except OSError as error:
        raise Refused(Exit.BAD_INPUT, f"{file}: {error.strerror}") from None
    except InventoryError as error:
        raise Refused(Exit.BAD_INPUT, *(f"{file}: {line}" for line in error.problems)) from None
    document = loaded.model_dump(mode="json", by_alias=True)
    said = ask().put("/inventory", document, reason=why(reason))
    print_lines(said, [said["kept"]], chosen())


@people(inventory, "show")
def inventory_show() -> None:
    """The inventory in use."""
    form: Format = chosen()
    found: Any = ask().get("/inventory")
    print(document(found, form if form.for_programs else Format.JSON))
