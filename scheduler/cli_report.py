"""`xenroll report`: the end of a rollout, or a change of shift, in one document."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from scheduler.cli_common import Exit, fail, store, the_rollout
from scheduler.since import SinceError
from scheduler.since import since as meant


class Form(StrEnum):
    """What the report is printed as."""

    MD = "md"
    HTML = "html"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(report)


def report(
    rollout: Annotated[
        str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the newest if left out.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Since when: 2h, 30m, 22:00 (UTC), or a time; else its start.")
    ] = "",
    output: Annotated[
        Form, typer.Option("--output", "-o", help="Markdown, one HTML file with plots, or JSON.")
    ] = Form.MD,
) -> None:
    """What happened since a moment, what is under way, held, decided, and what comes next."""
    from scheduler.serve import SystemClock
    from scheduler.service.report import log_lines
    from scheduler.service.report_text import in_html, in_markdown
    from scheduler.service.shift import report as facts
    from scheduler.service.views import Views

    clock = SystemClock()
    try:
        start = meant(since, clock.now()) if since else None
    except SinceError as error:
        fail(Exit.BAD_INPUT, f"--since {error}")
    with store() as held:
        rollout_id = the_rollout(held, rollout)
        views = Views(held, clock)
        view = views.rollout(rollout_id)
        lines = log_lines(held, rollout_id, start)
        said = facts(view, views.fleet(), lines, start, clock.now())
    if output is Form.JSON:
        typer.echo(said.model_dump_json(indent=2))
    else:
        typer.echo((in_html if output is Form.HTML else in_markdown)(said, view), nl=False)
