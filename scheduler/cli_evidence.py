"""`xenroll guest evidence NAME`: a walk through what proves where a guest runs."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli_ask import segment
from scheduler.cli_exit import Exit
from scheduler.cli_people import ask, chosen
from scheduler.cli_print import Row, print_lines

ApartS = Annotated[float, typer.Option(min=0.1, max=60, help="Time between the two looks.")]
PATIENCE_S = 300.0
"""Hosts that do not look at all make it take so long at most."""


def guest_evidence(name: str, apart_s: ApartS = 3.0) -> None:
    """Every copy of a guest on every host, looked at twice; what it proves and what may be done."""
    path = f"/guest-evidence/{segment(name)}"
    found = ask().get(path, PATIENCE_S, apart_s=apart_s)
    print_lines(found, _lines(found), chosen())
    if found["unseen"] or len({one["host"] for one in found["copies"]}) > 1:
        raise typer.Exit(int(Exit.REFUSED))


def _lines(found: Row) -> list[str]:
    lines = [f"guest {found['guest']}, UUID {', '.join(found['uuids']) or 'unknown'}", "copies:"]
    copies = [f"  {_copy(one)}" for one in found["copies"]]
    lines += copies or ["  none on any host that can be seen"]
    lines += [f"cannot be seen: {why}" for why in found["unseen"]]
    lines += _tried_lines(found["tried"]) if found["tried"] else []
    lines += [f"finding: {found['finding']}", "what a person may do:"]
    return [*lines, *(f"  {line}" for line in found["advice"])]


def _tried_lines(tried: Row) -> list[str]:
    code = "unknown" if tried["exit_code"] is None else tried["exit_code"]
    return [
        f"last move: {tried['source']} to {tried['destination']}, step {tried['step_id']} of",
        f"  {tried['rollout_id']}, {tried['state']}, exit code {code}: {tried['reason']}",
        *(f"  | {line}" for line in tried["output_tail"].splitlines()[-6:]),
    ]


def _copy(one: Row) -> str:
    grew = one["cpu_grew_s"]
    said = "not seen before" if grew is None else f"grew by {grew:.1f} s"
    return (
        f"{one['host']}: domain {one['domid']} {one['name']}, {one['condition']}, "
        f"CPU time {one['cpu_time_s']:.1f} s, {said}"
    )
