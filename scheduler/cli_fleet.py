"""`xenroll host …`, `xenroll guest …`, `xenroll inventory …`: what is seen, and what is wished."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.wire import GuestSeen, Report
from scheduler.cli_closed import host_closed
from scheduler.cli_common import Exit, fail, inventory_of, store
from scheduler.cli_enroll import host_enroll, host_withdraw
from scheduler.desk import Desk
from scheduler.inventory import InventoryError, load_inventory
from scheduler.store import Store
from scheduler.text import plain

hosts = typer.Typer(no_args_is_help=True, help="What the hosts' agents report.")
guests = typer.Typer(no_args_is_help=True, help="The guests, as the hosts show them.")
inventory = typer.Typer(no_args_is_help=True, help="Pools, racks, owners' wishes: a JSON file.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _seen(held: Store) -> Desk:
    desk = Desk(held.client, inventory_of(held), time.monotonic, stale_after_s=60.0)
    desk.refresh()
    return desk


def _age_s(report: Report) -> float:
    return (datetime.now(UTC) - report.taken_at).total_seconds()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _row(table: Table, *cells: Any) -> None:
    table.add_row(*(Text(plain(str(cell))) for cell in cells))


@hosts.command(name="list")
def host_list(as_json: AsJson = False) -> None:
    """Every host of the inventory with its newest report."""
    with store() as held:
        desk = _seen(held)
        owners = held.owners()
    if as_json:
        typer.echo(json.dumps([_host_json(desk, name) for name in desk.hosts], indent=2))
        return
    columns = ("HOST", "XEN", "BUILD", "GUESTS", "FREE MIB", "OF", "AGE S", "ROLLOUT")
    table = _table(*columns, "TROUBLE")
    for name in desk.hosts:
        report = desk.newest(name)
        if report is None:
            _row(table, name, "-", "-", "-", "-", "-", "-", owners.get(name, "-"), "never reported")
            continue
        trouble = report.trouble[0] if report.trouble else ""
        facts = (report.xen_version, report.build_id[:12], len(report.guests))
        memory = (report.memory_free_mib, report.memory_total_mib, f"{_age_s(report):.0f}")
        _row(table, name, *facts, *memory, owners.get(name, "-"), trouble)
    Console().print(table)


def _host_json(desk: Desk, name: str) -> dict[str, Any]:
    report = desk.newest(name)
    if report is None:
        return {"host": name, "reported": False}
    return report.model_dump(mode="json", exclude={"domains"}) | {"reported": True}


@hosts.command(name="show")
def host_show(name: str, as_json: AsJson = False) -> None:
    """One host: what it runs, what is left over, what its boot would start."""
    with store() as held:
        desk = _seen(held)
    report = _report(desk, name)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    lines = [
        f"host {report.host}: Xen {report.xen_version}, build {report.build_id}",
        f"boot id {report.boot_id}, reported {_age_s(report):.0f} s ago",
        f"memory {report.memory_free_mib} of {report.memory_total_mib} MiB free, "
        f"{report.cpus} CPUs",
        f"live patches applied: {', '.join(report.livepatches) or 'none'}",
        f"offers: {', '.join(report.offers) or 'nothing'}",
        *(f"trouble: {line}" for line in report.trouble),
        *(f"left over: {x.name} ({x.kind}, domain {x.domid}, {x.state})" for x in report.leftovers),
        *(f"would start at boot: {start.kind}: {start.text}" for start in report.boot_starts),
        *(f"put aside, would have started at boot: {name}" for name in report.put_aside),
        *(f"attempt {a.attempt_id}: {a.state} {a.reason}" for a in report.attempts),
        *(f"guest {g.name}: {_words(g)}" for g in report.guests),
    ]
    typer.echo("\n".join(plain(line) for line in lines))


def _report(desk: Desk, name: str) -> Report:
    if name not in desk.hosts:
        fail(Exit.BAD_INPUT, f"no host {name} in the inventory; see `xenroll host list`")
    report = desk.newest(name)
    if report is None:
        why = desk.report(name)
        fail(Exit.REFUSED, why if isinstance(why, str) else f"{name} has never reported")
    return report


def _words(guest: GuestSeen) -> str:
    obstacles = "; ".join(obstacle.text for obstacle in guest.obstacles)
    facts = f"{guest.type}, {guest.vcpus} vCPUs, {guest.memory_mib} MiB, {guest.state}"
    return f"{facts}; {obstacles}" if obstacles else facts


hosts.command(name="closed")(host_closed)
hosts.command(name="enroll")(host_enroll)
hosts.command(name="withdraw")(host_withdraw)


@guests.command(name="list")
def guest_list(as_json: AsJson = False) -> None:
    """Every guest with the host that shows it."""
    with store() as held:
        desk = _seen(held)
    found = _guests(desk)
    if as_json:
        rows = [{"host": host, **guest.model_dump(mode="json")} for host, guest in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = _table("GUEST", "HOST", "TYPE", "VCPUS", "MIB", "STATE", "CLASS", "OBSTACLES")
    for host, guest in found:
        obstacles = "; ".join(obstacle.text for obstacle in guest.obstacles)
        size = (guest.vcpus, guest.memory_mib, guest.state)
        _row(table, guest.name, host, guest.type, *size, guest.guest_class or "-", obstacles)
    Console().print(table)


def _guests(desk: Desk) -> list[tuple[str, GuestSeen]]:
    reports = [report for name in desk.hosts if (report := desk.newest(name))]
    found = [(report.host, guest) for report in reports for guest in report.guests]
    return sorted(found, key=lambda pair: (pair[1].name, pair[0]))


@guests.command(name="show")
def guest_show(name: str, as_json: AsJson = False) -> None:
    """One guest: where it runs, and what would keep it from being moved."""
    with store() as held:
        desk = _seen(held)
    found = [(host, guest) for host, guest in _guests(desk) if guest.name == name]
    if not found:
        fail(Exit.BAD_INPUT, f"no guest {name} on any host; see `xenroll guest list`")
    if as_json:
        rows = [{"host": host, **guest.model_dump(mode="json")} for host, guest in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    for host, guest in found:
        typer.echo(plain(f"guest {guest.name} on {host} (domain {guest.domid}): {_words(guest)}"))
        typer.echo(plain(f"uuid {guest.uuid}, class {guest.guest_class or '-'}"))
        typer.echo(plain(f"needs {', '.join(guest.needs) or 'nothing'}"))
        typer.echo(plain(f"can be started from {guest.config_path or 'no file: never restarted'}"))


@inventory.command(name="apply")
def inventory_apply(file: Annotated[Path, typer.Argument(help="The file; - for stdin.")]) -> None:
    """Check an inventory and use it from now on."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        loaded = load_inventory(raw)
    except OSError as error:
        fail(Exit.BAD_INPUT, f"{file}: {error.strerror}")
    except InventoryError as error:
        fail(Exit.BAD_INPUT, [f"{file}: {line}" for line in error.problems])
    with store() as held:
        held.apply_inventory(raw)
    typer.echo(f"inventory applied: {len(loaded.hosts)} hosts, {len(loaded.guests)} guests")


@inventory.command(name="show")
def inventory_show() -> None:
    """The inventory in use."""
    with store() as held:
        typer.echo(inventory_of(held).model_dump_json(indent=2, by_alias=True))
