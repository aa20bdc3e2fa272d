"""`xenroll controller`: the process that leads rollouts."""

from __future__ import annotations

import typer

from scheduler.cli_common import Exit, fail, settings
from scheduler.inventory import InventoryError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(controller)


def controller() -> None:
    """Lead every rollout that has not ended, until SIGTERM; a second one waits its turn."""
    from scheduler.link import Away
    from scheduler.serve import main

    try:
        main(settings())
    except Away as error:
        fail(Exit.AWAY, str(error))
    except InventoryError as error:
        fail(Exit.BAD_INPUT, [f"inventory: {line}" for line in error.problems])
