"""`xenroll guest evidence NAME`: a walk through what proves where a guest runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from agents.copies import base_name
from agents.wire import Kind, Report
from scheduler.cli_common import Exit, fail, inventory_of, store
from scheduler.cli_people import chosen
from scheduler.cli_print import print_lines
from scheduler.desk import Desk
from scheduler.evidence import Evidence, Shown, Tried, gather, tried_of
from scheduler.fleet_view import FleetDoubt
from scheduler.launch import fresh_reports
from scheduler.store import Store
from scheduler.text import plain

WaitS = Annotated[float, typer.Option(min=1, max=600, help="Longest wait for a host's look.")]
ApartS = Annotated[float, typer.Option(min=0.1, max=60, help="Time between the two looks.")]


def guest_evidence(
    name: str,
    wait_s: WaitS = 20.0,
    apart_s: ApartS = 3.0,
) -> None:
    """Every copy of a guest on every host, looked at twice; what it proves and what may be done."""
    with store() as held:
        inventory = inventory_of(held)
        desk = Desk(held.client, inventory, time.monotonic, wait_s)
        before, _ = _look(held, desk, wait_s)
        time.sleep(apart_s)
        after, unseen = _look(held, desk, wait_s)
        found = gather(name, before, after, unseen, _tried(held, desk, name))
    if not found.copies and found.tried is None and not unseen:
        fail(Exit.BAD_INPUT, f"no host shows a guest {name}, and no rollout has moved one")
    print_lines(found.model_dump(mode="json"), _lines(found), chosen())
    if unseen or len({one.host for one in found.copies}) > 1:
        raise typer.Exit(int(Exit.REFUSED))


def _look(held: Store, desk: Desk, wait_s: float) -> tuple[dict[str, Report], list[str]]:
    """A fresh look at every host that answers; why the others do not."""
    inventory = inventory_of(held)
    desk.refresh()
    try:
        reports = fresh_reports(held.client, inventory, desk.hosts, wait_s)
        return {r.host: r for r in reports if not r.trouble}, _troubled(reports)
    except FleetDoubt as doubt:
        silent = doubt.problems
    started = [name for name in desk.hosts if not any(line.startswith(name) for line in silent)]
    reports = fresh_reports(held.client, inventory, started, wait_s)
    return {r.host: r for r in reports if not r.trouble}, [*silent, *_troubled(reports)]


def _troubled(reports: Sequence[Report]) -> list[str]:
    return [f"{report.host}: {report.trouble[0]}" for report in reports if report.trouble]


def _tried(held: Store, desk: Desk, name: str) -> Tried | None:
    """The newest move of this guest, of any rollout that is still kept."""
    for rollout_id in reversed(held.ids()):
        steps = held.book(rollout_id).steps.values()
        moves = [s for s in steps if s.kind is Kind.MOVE and s.guest == name and s.ordered_at]
        if moves:
            step = max(moves, key=lambda s: (s.ordered_at is not None, str(s.ordered_at)))
            attempt = f"{rollout_id}-{step.id}-a{step.attempt}"
            return tried_of(rollout_id, step, desk.attempt(step.host, attempt))
    return None


def _lines(found: Evidence) -> list[str]:
    lines = [f"guest {found.guest}, UUID {', '.join(found.uuids) or 'unknown'}", "copies:"]
    lines += [f"  {_copy(one)}" for one in found.copies] or ["  none on any host that can be seen"]
    lines += [f"cannot be seen: {why}" for why in found.unseen]
    if found.tried:
        tried = found.tried
        code = "unknown" if tried.exit_code is None else tried.exit_code
        lines.append(f"last move: {tried.source} to {tried.destination}, step {tried.step_id} of")
        lines.append(f"  {tried.rollout_id}, {tried.state}, exit code {code}: {tried.reason}")
        lines += [f"  | {line}" for line in tried.output_tail.splitlines()[-6:]]
    lines += [f"finding: {found.finding}", "what a person may do:"]
    return [plain(line) for line in (*lines, *(f"  {line}" for line in found.advice))]


def _copy(one: Shown) -> str:
    grew = "not seen before" if one.cpu_grew_s is None else f"grew by {one.cpu_grew_s:.1f} s"
    return (
        f"{one.host}: domain {one.domid} {one.name} ({base_name(one.name)}), "
        f"{one.condition.value}, CPU time {one.cpu_time_s:.1f} s, {grew}"
    )
