"""`xenroll rollout forecast`: when it will have ended, and what would make it end earlier."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from scheduler.cli_common import settings, store, the_rollout


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


OutputAs = Annotated[Output, typer.Option("--output", "-o", help="How to print it.")]


def rollout_forecast(
    rollout: Annotated[
        str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the newest if left out.")
    ] = None,
    output: OutputAs = Output.TABLE,
) -> None:
    """When it ends (p50 and p90), which hosts miss the deadline, and what would make it."""
    # Only who asks for a forecast waits for numpy.
    from scheduler.forecast import Asked, forecast
    from scheduler.service.exposure import guests_at_start

    limits = settings().limits
    with store() as held:
        rollout_id = the_rollout(held, rollout)
        book = held.book(rollout_id)
        at_start = guests_at_start(held.fleet_document(rollout_id, 1))
    asked = Asked(
        backoff_s=limits.retry_backoff_s,
        max_tries=limits.max_tries,
        remedies=True,
        at_start=at_start,
    )
    said = forecast(book, datetime.now(UTC), asked)
    if output is Output.JSON:
        typer.echo(said.model_dump_json(indent=2))
        return
    from rich.console import Console

    from scheduler.show_forecast import render

    Console().print(render(said))
