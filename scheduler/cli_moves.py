"""`xenroll rollout moves`: each move, how long it took and how long its guest stood still."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from scheduler.cli_people import RolloutId, ask, chosen, the_rollout
from scheduler.cli_print import Column, Row, print_rows
from scheduler.show_screen import duration


def _took(step: Row) -> str:
    if not step["started_at"] or not step["ended_at"]:
        return ""
    began, ended = map(datetime.fromisoformat, (step["started_at"], step["ended_at"]))
    return duration((ended - began).total_seconds())


def _blackout(step: Row) -> str:
    """The bounds, in seconds; since when it stands still, where it does so now."""
    if step.get("suspended_since"):
        since = datetime.fromisoformat(step["suspended_since"])
        return f"suspended since {since:%H:%M:%S}" + (" ALARM" if step["suspended_alarm"] else "")
    found = step.get("blackout")
    return f"{found['at_least_s']:.1f} to {found['at_most_s']:.1f} s" if found else ""


COLUMNS = (
    Column("GUEST", "guest"),
    Column("FROM", "host"),
    Column("TO", "destination"),
    Column("MIB", lambda step: step["room_mib"] or ""),
    Column("STATE", "state"),
    Column("TRIES", "tries"),
    Column("TOOK", _took),
    Column("BLACKOUT", _blackout),
    Column("OUTCOME", "outcome"),
    Column("STEP", "id", wide=True),
    Column("WAVE", "wave", wide=True),
    Column("REASON", "reason", wide=True),
)


def moves(
    rollout: RolloutId = None,
    guest: Annotated[str | None, typer.Option(help="Only those of this guest.")] = None,
) -> None:
    """Each move: from, to, how long it took, and the bounds of its guest's blackout."""
    api = ask()
    rollout_id = the_rollout(api, rollout)
    steps = api.all(f"/rollouts/{rollout_id}/steps", kind="move", guest=guest)
    print_rows(steps, COLUMNS, chosen())
