"""`xenroll report`: the end of a rollout, or a change of shift, in one document."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from scheduler.cli_ask import Refused
from scheduler.cli_exit import Exit
from scheduler.cli_people import RolloutId, ask, chosen, people, the_rollout
from scheduler.cli_print import Format, document
from scheduler.since import SinceError
from scheduler.since import since as meant


class Form(StrEnum):
    """What the report is printed as."""

    MD = "md"
    HTML = "html"
    JSON = "json"
    YAML = "yaml"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    people(app, without=["form"])(report)


def report(
    rollout: RolloutId = None,
    since: Annotated[
        str, typer.Option(help="Since when: 2h, 30m, 22:00 (UTC), or a time; else its start.")
    ] = "",
    output: Annotated[
        Form,
        typer.Option("--output", "-o", help="Markdown, one HTML file with plots, JSON or YAML."),
    ] = Form.MD,
) -> None:
    """What happened since a moment, what is under way, held, decided, and what comes next."""
    try:
        start = meant(since, datetime.now(UTC)).isoformat() if since else None
    except SinceError as error:
        raise Refused(Exit.BAD_INPUT, f"--since {error}") from None
    api = ask()
    path = f"/rollouts/{the_rollout(api, rollout)}/report"
    form = Form.JSON if chosen() is Format.JSON else output
    if form in (Form.JSON, Form.YAML):
        print(document(api.get(path, since=start), Format(form.value)))
    else:
        print(api.text(path, since=start, format=form.value), end="")
