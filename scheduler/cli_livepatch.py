"""`xenroll livepatch …`: what is applied on which host, and taking it back."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from scheduler.cli_ask import Api, Refused
from scheduler.cli_exit import Exit
from scheduler.cli_people import Reason, Yes, ask, chosen, people, sure, why
from scheduler.cli_print import Column, Row, minute, print_lines, print_rows

app = typer.Typer(no_args_is_help=True, help="Live patches: what is applied; taking one back.")

Host = Annotated[str, typer.Argument(metavar="HOST")]
Payload = Annotated[str, typer.Argument(metavar="PAYLOAD", help="As `livepatch list` names it.")]
WaitS = Annotated[float, typer.Option("--wait-s", min=0, help="How long to wait for the host.")]
POLL_S = 0.5
OPEN = ("asked", "ordered")

COLUMNS = (
    Column("HOST", "host"),
    Column("LIVE PATCH", "payload"),
    Column("BUILD", lambda row: row["build_id"][:12]),
    Column("STATE", "state"),
    Column("BY", "by"),
    Column("SINCE", minute("since")),
    Column("WHY", "note"),
)


@people(app, "list", watch=True)
def list_(
    host: Annotated[str | None, typer.Option(help="Only of this host.")] = None,
) -> None:
    """Each live patch on each host: applied, being reverted, or reverted by a person."""
    print_rows(ask().all("/livepatches", host=host), COLUMNS, chosen())


@people(app)
def revert(
    host: Host, payload: Payload, reason: Reason = "", wait_s: WaitS = 60.0, yes: Yes = False
) -> None:
    """Take a live patch back: its host is exposed again, and no rollout loads it there."""
    api = ask()
    sure(f"revert {payload} on {host}, which is exposed then?", yes)
    body = {"host": host, "payload": payload, "reason": why(reason)}
    asked = api.act("/livepatches/actions/revert", body)
    row = _awaited(api, host, asked["revert"], wait_s)
    if row is None or row["revert_state"] in OPEN:
        raise Refused(
            Exit.REFUSED,
            f"{payload} on {host} is not known to be reverted after {wait_s:g} s: does a "
            "controller run? `xenroll livepatch list` shows what becomes of it",
        )
    if row["revert_state"] == "failed":
        raise Refused(Exit.REFUSED, row["note"])
    lines = [
        f"{payload} is reverted on {host}, which is exposed again to what it fixed",
        "no rollout loads it there until `xenroll livepatch allow` lets it",
    ]
    print_lines(row, lines, chosen())


def _awaited(api: Api, host: str, revert_id: str, wait_s: float) -> Row | None:
    """The live patch's row once the revert is over, or as it is after that time."""
    end_s = time.monotonic() + wait_s
    while True:
        found: list[Any] = api.all("/livepatches", host=host)
        row = next((one for one in found if one["revert"] == revert_id), None)
        if (row and row["revert_state"] not in OPEN) or time.monotonic() > end_s:
            return row
        time.sleep(POLL_S)


@people(app)
def allow(host: Host, payload: Payload, reason: Reason = "", yes: Yes = False) -> None:
    """Let rollouts load a reverted live patch on a host again; loads nothing by itself."""
    sure(f"let {payload} be loaded on {host} again?", yes)
    body = {"host": host, "payload": payload, "reason": why(reason)}
    said = ask().act("/livepatches/actions/allow", body)
    print_lines(said, [said["kept"]], chosen())
