"""`xenroll crash …` and `xenroll class …`: what ended after moves, and which classes must rest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scheduler.classes import ClassView
from scheduler.cli_common import Exit, fail, note, person, store
from scheduler.comparison import Comparison
from scheduler.crash_views import CrashList, class_list, crash_compare, crash_list
from scheduler.text import plain
from scheduler.watch_store import WatchStore

crashes = typer.Typer(no_args_is_help=True, help="Guests that ended without a step of ours.")
classes = typer.Typer(no_args_is_help=True, help="Classes of guests: how they took their moves.")


class Shape(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Shape, typer.Option("--output", "-o", help="As a table, or as JSON.")]
Days = Annotated[int, typer.Option(min=1, max=400, help="Of the newest days.")]


@contextmanager
def _watched() -> Iterator[WatchStore]:
    with store() as held:
        yield WatchStore(held.client, f"cli-{os.getpid()}")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(Text(plain(str(cell))) for cell in cells))


@crashes.command(name="list")
def list_crashes(
    output: Output = Shape.TABLE,
    days: Days = 30,
    everything: Annotated[
        bool, typer.Option("--all", help="Reboots and shutdowns that were asked for, too.")
    ] = False,
) -> None:
    """Guests that crashed, or ended for an unknown cause, with the moves they are put down to."""
    with _watched() as held:
        found = crash_list(held, datetime.now(UTC), days, everything=everything)
    if output is Shape.JSON:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show_crashes(found)


def _show_crashes(found: CrashList) -> None:
    table = _table("WHEN", "GUEST", "OWNER", "HOST", "CAUSE", "AFTER ITS MOVE", "CLASS", "WHY")
    for one in found.endings:
        when, owner = f"{one.at:%Y-%m-%d %H:%M}", one.owner or "-"
        after = "-" if one.after_s is None else str(timedelta(seconds=round(one.after_s)))
        facts = (one.cause, after, one.key.guest_class, one.reason)
        _row(table, when, one.guest, owner, one.host, *facts)
    if found.endings:
        Console().print(table)
    else:
        typer.echo(f"no guest crashed in the last {found.days} days")
    for trial in found.quiet:
        typer.echo(plain(f"quiet: {trial.guest} on {trial.host}: {trial.quiet} (a hint only)"))
    for event in found.events:
        typer.echo(plain(f"{event.at:%Y-%m-%d %H:%M} {event.kind}: {event.text}"))
    typer.echo(f"{found.watched} moved guests are watched now")


@crashes.command()
def compare(
    output: Output = Shape.TABLE,
    days: Days = 90,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999)] = 0.95,
    with_unknown: Annotated[
        bool, typer.Option("--with-unknown", help="Count endings of unknown cause too.")
    ] = False,
) -> None:
    """Do guests that were moved crash more often later than others? Hazard ratio and interval."""
    with _watched() as held:
        found = crash_compare(
            held, datetime.now(UTC), days, confidence=confidence, with_unknown=with_unknown
        )
    if output is Shape.JSON:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show_comparison(found)


def _show_comparison(found: Comparison) -> None:
    table = _table("CLASS", "MOVED: HOURS", "CRASHES", "PER 1000 DAYS")
    for column in ("OTHERS: HOURS", "CRASHES", "PER 1000 DAYS"):
        table.add_column(column)
    for one in found.strata:
        moved = (f"{one.moved_h:.0f}", one.moved_crashes, _rate(one.moved_rate))
        other = (f"{one.other_h:.0f}", one.other_crashes, _rate(one.other_rate))
        _row(table, one.guest_class, *moved, *other)
    Console().print(table)
    ratio = "-" if found.ratio is None else f"{found.ratio:.2g}"
    high = "no bound" if found.high is None else f"{found.high:.2g}"
    typer.echo(f"hazard ratio {ratio}, {100 * found.confidence:g} %: {found.low:.2g} to {high}")
    typer.echo(found.words)
    if found.unknown_endings and not found.with_unknown:
        typer.echo(f"endings of unknown cause, not counted: {found.unknown_endings}")


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}"


@classes.command(name="list")
def list_classes(output: Output = Shape.TABLE) -> None:
    """Each class and pair of builds: moves, crashes, hours, and whether it is quarantined."""
    with _watched() as held:
        found = class_list(held)
    if output is Shape.JSON:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    table = _table("CLASS", "FROM", "TO", "MOVED", "CRASHED", "95 %", "LATER", "HOURS", "STATE")
    for one in found:
        builds = (one.build_from or "-", one.build_to or "-")
        span = f"{100 * one.crash_rate_low:.2g} to {100 * one.crash_rate_high:.2g} %"
        counts = (one.moved, one.crashed, span, one.later, f"{one.guest_hours:.0f}")
        _row(table, one.guest_class, *builds, *counts, _state(one))
    Console().print(table)


def _state(one: ClassView) -> str:
    if one.quarantine:
        return f"quarantined since {one.quarantine.since:%Y-%m-%d %H:%M}: {one.quarantine.reason}"
    if one.released:
        return f"released by {one.released.by}: {one.released.reason}"
    return "moved"


@classes.command()
def release(
    guest_class: Annotated[str, typer.Argument(metavar="CLASS", help="As `class list` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be moved again.")],
) -> None:
    """Let a quarantined class be moved again; its crashes so far are forgiven."""
    if not reason.strip():
        fail(Exit.BAD_INPUT, "--reason: say why the class may be moved again")
    with _watched() as held:
        resting = sorted(m.guest_class for m in held.marks().values() if m.quarantine)
        with store() as trail:
            note(trail, "class.release", guest_class, reason)
        if not held.release(guest_class, person(), reason, datetime.now(UTC)):
            names = f"; quarantined: {', '.join(resting)}" if resting else "; no class is"
            fail(Exit.REFUSED, plain(f"class {guest_class} is not quarantined{names}"))
    typer.echo(plain(f"class {guest_class} released: its guests are planned for again"))
