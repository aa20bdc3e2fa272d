"""What `xenroll plan` does on request: the trade of moves for time, and reasons for a choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.cli_exit import Exit, fail
from scheduler.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from planner.explain import Decision, Explanation
    from planner.fleet import Fleet
    from planner.options import PlanOptions
    from planner.pareto import Curve, Point
    from planner.plan import Plan

SHOWN = 12
"""Candidates of a decision, and decisions, that are shown; `--json` has them all."""

Pareto = Annotated[
    bool,
    typer.Option("--pareto", help="Plan with several numbers of seed hosts; show moves and times."),
]
DeadlineS = Annotated[
    float | None,
    typer.Option(
        "--deadline-s", metavar="S", min=0, help="The fewest moves whose makespan meets this."
    ),
]
Explain = Annotated[
    tuple[str, str] | None,
    typer.Option("--explain", metavar="host|guest NAME", help="Why is it blocked, or goes there?"),
]


def refuse_explain(fleet: Fleet, asked: tuple[str, str] | None) -> None:
    """End the command where there is nothing of that kind and name to explain."""
    if asked is None:
        return
    kind, name = asked
    if kind not in ("host", "guest"):
        fail(Exit.BAD_INPUT, f"--explain: expected `host NAME` or `guest NAME`, got {kind!r}")
    known = fleet.hosts if kind == "host" else fleet.guests
    if not any(one.name == name for one in known):
        fail(Exit.BAD_INPUT, f"--explain: no {kind} {name!r} in the fleet")


def refuse_deadline(deadline_s: float | None) -> None:
    """End the command where the deadline is no number of seconds."""
    if deadline_s is not None and not math.isfinite(deadline_s):
        fail(Exit.BAD_INPUT, f"--deadline-s: expected a number of seconds, got {deadline_s}")


def curve_of(fleet: Fleet, sha256: str, options: PlanOptions, deadline_s: float | None) -> Curve:
    """Plans with several numbers of seeds; ends the command where none meets the deadline."""
    from planner.evacuate import plan_rollout
    from planner.pareto import curve

    found = curve(fleet, sha256, options, plan_rollout, deadline_s)
    if not found.meets:
        told = found.plan.summary
        fail(
            Exit.NO_PLAN,
            f"no plan found meets {deadline_s:g} s: the shortest takes {told.makespan_s:.0f} s "
            f"with {told.moves:,} moves (none with so few moves can take less than "
            f"{told.makespan_lower_bound_s:.0f} s); nothing was written",
        )
    return found


def curve_rows(found: Curve) -> list[dict[str, Any]]:
    """The points for `--json`."""
    return [
        {
            "seed_hosts": point.seed_hosts,
            "moves": point.summary.moves,
            "moves_lower_bound": point.summary.moves_lower_bound,
            "makespan_s": point.summary.makespan_s,
            "makespan_lower_bound_s": point.summary.makespan_lower_bound_s,
            "hosts_blocked": point.summary.hosts_blocked,
            "best": point.is_best,
            "chosen": place == found.chosen,
        }
        for place, point in enumerate(found.points)
    ]


def show_curve(found: Curve, console: Console) -> None:
    """The points as a table, fewest moves first."""
    from rich.table import Table

    table = Table(title="Moves against makespan", title_justify="left")
    for name in ("seed hosts", "moves", "/ bound", "makespan", "/ bound", "blocked"):
        table.add_column(name, justify="right")
    table.add_column("")
    for place, point in enumerate(found.points):
        _add_point(table, point, place == found.chosen)
    console.print(table)


def _add_point(table: Table, point: Point, chosen: bool) -> None:
    from scheduler.show_plan import duration, ratio

    told = point.summary
    mark = "written" if chosen else "" if point.is_best else "another is better"
    table.add_row(
        "policy" if point.seed_hosts is None else f"{point.seed_hosts:,}",
        f"{told.moves:,}",
        ratio(told.moves, told.moves_lower_bound),
        duration(told.makespan_s),
        ratio(told.makespan_s, told.makespan_lower_bound_s),
        f"{told.hosts_blocked:,}",
        mark,
    )


def explained(fleet: Fleet, plan: Plan, asked: tuple[str, str]) -> Explanation:
    """The explanation that was asked for; the name is known to be there."""
    from planner.explain import explain_guest, explain_host

    kind, name = asked
    return explain_host(fleet, plan, name) if kind == "host" else explain_guest(fleet, plan, name)


def explanation_row(found: Explanation) -> dict[str, Any]:
    """The explanation for `--json`."""
    return asdict(found)


def show_explanation(found: Explanation, console: Console) -> None:
    """Sentences, a table of candidates for each decision, and what would change it."""
    from rich.text import Text

    for line in found.told:
        console.print(Text(plain(line)))
    for decision in found.decisions[:SHOWN]:
        console.print(_decision(decision))
    if len(found.decisions) > SHOWN:
        console.print(f"and {len(found.decisions) - SHOWN:,} more guests")
    if found.remedies:
        console.print(Text(plain(f"would fit: {_either(found.remedies)}")))


def _either(remedies: Sequence[str]) -> str:
    more = f", or {len(remedies) - SHOWN:,} more" if len(remedies) > SHOWN else ""
    return " or ".join(remedies[:SHOWN]) + more


def _decision(decision: Decision) -> Table:
    from rich.table import Table
    from rich.text import Text

    to = f" to {decision.destination}" if decision.destination else ""
    title = f"{decision.guest}: from {decision.source}{to} at {decision.at_s:.0f} s"
    table = Table("host", "can take it", title=Text(plain(title)), title_justify="left")
    for candidate in _shown(decision):
        chosen = "chosen" if candidate.host == decision.destination else "yes"
        verdict = "; ".join(candidate.obstacles) or chosen
        notes = f" ({candidate.note})" if candidate.note else ""
        table.add_row(Text(plain(candidate.host)), Text(plain(verdict + notes)))
    left = len(decision.candidates) - SHOWN
    if left > 0:
        table.add_row("…", f"and {left:,} more hosts")
    return table


def _shown(decision: Decision) -> list[Any]:
    """The chosen host, then the first of the others."""
    order = sorted(decision.candidates, key=lambda c: c.host != decision.destination)
    return order[:SHOWN]
