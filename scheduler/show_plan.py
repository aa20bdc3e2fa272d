"""A plan, and what is wrong with one, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.fleet import Fleet
from planner.plan import Blocked, Plan
from scheduler.text import plain

MOST_ROWS = 20
"""Blocked hosts and problems that are shown; the files have them all."""


def show_plan(fleet: Fleet, plan: Plan, console: Console) -> None:
    """What the plan does and costs, beside the proven bounds, and the blocked hosts."""
    console.print(_figures(fleet, plan))
    if plan.blocked:
        console.print(_blocked(plan.blocked))
        if len(plan.blocked) > MOST_ROWS:
            console.print(f"and {len(plan.blocked) - MOST_ROWS:,} more blocked hosts")


def _figures(fleet: Fleet, plan: Plan) -> Table:
    told = plan.summary
    table = Table("", "plan", "bound", "plan / bound", title="Plan", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(
        "moves",
        f"{told.moves:,}",
        f"{told.moves_lower_bound:,}",
        ratio(told.moves, told.moves_lower_bound),
    )
    table.add_row(
        "makespan",
        duration(told.makespan_s),
        duration(told.makespan_lower_bound_s),
        ratio(told.makespan_s, told.makespan_lower_bound_s),
    )
    to_reboot = sum(host.reboot for host in fleet.hosts)
    table.add_row("hosts rebooted", f"{told.hosts_rebooted:,} of {to_reboot:,}")
    table.add_row("hosts blocked", f"{told.hosts_blocked:,}")
    table.add_row("guests moved", f"{told.guests_moved:,} of {len(fleet.guests):,}")
    table.add_row("guests restarted", f"{told.guests_restarted:,}")
    table.add_row("waves", _waves(plan))
    if told.classes_covered or told.classes_not_covered:
        classes = len(told.classes_covered) + len(told.classes_not_covered)
        table.add_row("classes in wave 1", f"{len(told.classes_covered)} of {classes}")
    table.add_row("planning", f"{told.planning_s:.2f} s")
    return table


def _waves(plan: Plan) -> str:
    gates = sum(wave.gate for wave in plan.waves)
    return f"{len(plan.waves):,}, {gates:,} gate{'' if gates == 1 else 's'}"


def _blocked(blocked: Sequence[Blocked]) -> Table:
    table = Table("host", "guest", "reason", title="Blocked", title_justify="left")
    for host in blocked[:MOST_ROWS]:
        name = host.host
        for why in host.reasons[:MOST_ROWS]:
            table.add_row(Text(plain(name)), Text(plain(why.guest or "")), Text(plain(why.reason)))
            name = ""
    return table


def ratio(reached: float, bound: float) -> str:
    """How many times the bound is reached; a dash where there is no bound."""
    return f"{reached / bound:.3f}" if bound else "-"


def duration(seconds: float) -> str:
    """`1 h 31 min`, `12 min 5 s`, `3.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"
