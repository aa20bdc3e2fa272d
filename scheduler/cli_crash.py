"""`xenroll crash …` and `xenroll class …`: what ended after moves, and which classes must rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from scheduler.binomial import percent
from scheduler.classes import ClassView
from scheduler.cli_ask import Refused
from scheduler.cli_exit import Exit
from scheduler.cli_people import Yes, ask, chosen, people, sure
from scheduler.cli_print import document, print_lines, print_whole
from scheduler.comparison import Comparison
from scheduler.crash_views import CrashList
from scheduler.text import plain

crashes = typer.Typer(no_args_is_help=True, help="Guests that ended without a step of ours.")
classes = typer.Typer(no_args_is_help=True, help="Classes of guests: how they took their moves.")


SENTENCES = ("CLASS", "FROM", "TO", "WHY")
"""Columns whose cells have several words; a name is never cut in two."""

Days = Annotated[int, typer.Option(min=1, max=400, help="Of the newest days.")]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in SENTENCES)
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(Text(plain(str(cell))) for cell in cells))


@people(crashes, "list", watch=True)
def list_crashes(
    days: Days = 30,
    everything: Annotated[
        bool, typer.Option("--all", help="Reboots and shutdowns that were asked for, too.")
    ] = False,
) -> None:
    """Guests that crashed, or ended for an unknown cause, with the moves they are put down to."""
    first, *more = ask().pages("/crash-watch", days=days, everything=everything)
    found = {name: said for name, said in first.items() if name != "next"}
    found["endings"] += [ending for said in more for ending in said["endings"]]
    if chosen().for_programs:
        print(document(found, chosen()))
    else:
        _show_crashes(CrashList.model_validate(found, extra="ignore"))


def _show_crashes(found: CrashList) -> None:
    table = _table("WHEN", "GUEST", "OWNER", "HOST", "CAUSE", "AFTER ITS MOVE", "CLASS", "WHY")
    for one in found.endings:
        when, owner = f"{one.at:%Y-%m-%d %H:%M}", one.owner or "-"
        after = "-" if one.after_s is None else str(timedelta(seconds=round(one.after_s)))
        facts = (one.cause, after, one.key.guest_class, one.reason)
        _row(table, when, one.guest, owner, one.host, *facts)
    if found.endings:
        print_whole(table)
    else:
        typer.echo(f"no guest crashed in the last {found.days} days")
    for trial in found.quiet:
        typer.echo(plain(f"quiet: {trial.guest} on {trial.host}: {trial.quiet} (a hint only)"))
    for event in found.events:
        typer.echo(plain(f"{event.at:%Y-%m-%d %H:%M} {event.kind}: {event.text}"))
    typer.echo(f"{found.watched} moved guests are watched now")


@people(crashes)
def compare(
    days: Days = 90,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999)] = 0.95,
    with_unknown: Annotated[
        bool, typer.Option("--with-unknown", help="Count endings of unknown cause too.")
    ] = False,
) -> None:
    """Do guests that were moved crash more often later than others? Hazard ratio and interval."""
    asked = {"days": days, "confidence": confidence, "with_unknown": with_unknown}
    found = ask().get("/crash-comparison", **asked)
    if chosen().for_programs:
        print(document(found, chosen()))
    else:
        _show_comparison(Comparison.model_validate(found, extra="ignore"))


def _show_comparison(found: Comparison) -> None:
    table = _table("CLASS", "MOVED: HOURS", "CRASHES", "PER 1000 DAYS")
    for column in ("OTHERS: HOURS", "CRASHES", "PER 1000 DAYS"):
        table.add_column(column)
    for one in found.strata:
        moved = (f"{one.moved_h:.0f}", one.moved_crashes, _rate(one.moved_rate))
        other = (f"{one.other_h:.0f}", one.other_crashes, _rate(one.other_rate))
        _row(table, one.guest_class, *moved, *other)
    print_whole(table)
    ratio = "-" if found.ratio is None else f"{found.ratio:.2g}"
    high = "no bound" if found.high is None else f"{found.high:.2g}"
    typer.echo(f"hazard ratio {ratio}, {100 * found.confidence:g} %: {found.low:.2g} to {high}")
    typer.echo(found.words)
    if found.unknown_endings and not found.with_unknown:
        typer.echo(f"endings of unknown cause, not counted: {found.unknown_endings}")


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}"


@people(classes, "list", watch=True)
def list_classes() -> None:
    """Each class and pair of builds: moves, crashes, hours, and whether it is quarantined."""
    rows = ask().all("/classes")
    if chosen().for_programs:
        print(document(rows, chosen()))
        return
    found = [ClassView.model_validate(row, extra="ignore") for row in rows]
    table = _table("CLASS", "FROM", "TO", "MOVED", "CRASHED", "95 %", "LATER", "HOURS", "STATE")
    for one in found:
        builds = (one.build_from or "-", one.build_to or "-")
        span = f"{percent(one.crash_rate_low)} to {percent(one.crash_rate_high)} %"
        span = span if one.moved else "-"
        counts = (one.moved, one.crashed, span, one.later, f"{one.guest_hours:.0f}")
        _row(table, one.guest_class, *builds, *counts, _state(one))
    print_whole(table)
    for line in dict.fromkeys(why for one in found if (why := _why(one))):
        typer.echo(plain(line))


def _state(one: ClassView) -> str:
    if one.quarantine:
        return "quarantined"
    return "released" if one.released else "moved"


def _why(one: ClassView) -> str:
    """Since when, by whom and why a class rests or was released; it may stand in several rows."""
    if (held := one.quarantine) is not None:
        when = f"since {held.since:%Y-%m-%d %H:%M} by {held.by}"
        return f"{one.guest_class}: quarantined {when}: {held.reason}"
    if (word := one.released) is not None:
        return (
            f"{one.guest_class}: released by {word.by}, {word.since:%Y-%m-%d %H:%M}: {word.reason}"
        )
    return ""


@people(classes)
def release(
    guest_class: Annotated[str, typer.Argument(metavar="CLASS", help="As `class list` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be moved again.")],
    yes: Yes = False,
) -> None:
    """Let a quarantined class be moved again; its crashes so far are forgiven."""
    sure(f"let guests of class {plain(guest_class)} be moved again?", yes)
    if len(reason.strip()) < 3:
        raise Refused(Exit.BAD_INPUT, "--reason: say why the class may be moved again")
    said = ask().act("/classes/actions/release", {"guest_class": guest_class, "reason": reason})
    print_lines(said, [said["kept"]], chosen())
