"""The command `xenroll`: its sub-commands, loaded only when they are the one that was called.

Loading all of them costs more than planning a fleet of a thousand hosts.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from agents.version import VERSION
from scheduler.cli_exit import EXIT_CODES, Exit
from scheduler.text import plain


def _offline(app: typer.Typer) -> None:
    from scheduler import cli_plan

    cli_plan.register(app)


def _rollout(app: typer.Typer) -> None:
    from scheduler import cli_moves, cli_people, cli_rollout, cli_rollout_show

    cli_people.people(cli_rollout.app, watch=True)(cli_rollout_show.show)
    cli_people.people(cli_rollout.app, watch=True)(cli_moves.moves)
    app.add_typer(cli_rollout.app, name="rollout")


def _fleet(app: typer.Typer) -> None:
    from scheduler import cli_fleet

    app.add_typer(cli_fleet.hosts, name="host")
    app.add_typer(cli_fleet.guests, name="guest")
    app.add_typer(cli_fleet.inventory, name="inventory")


def _advisory(app: typer.Typer) -> None:
    from scheduler import cli_advisory

    app.add_typer(cli_advisory.app, name="advisory")


def _livepatch(app: typer.Typer) -> None:
    from scheduler import cli_livepatch

    app.add_typer(cli_livepatch.app, name="livepatch")


def _controller(app: typer.Typer) -> None:
    from scheduler import cli_controller

    cli_controller.register(app)


def _notify(app: typer.Typer) -> None:
    from scheduler import cli_notify

    app.add_typer(cli_notify.app, name="notify")


def _report(app: typer.Typer) -> None:
    from scheduler import cli_report

    cli_report.register(app)


def _service(app: typer.Typer) -> None:
    from scheduler import cli_service

    cli_service.register(app)


def _crash(app: typer.Typer) -> None:
    from scheduler import cli_crash

    app.add_typer(cli_crash.crashes, name="crash")
    app.add_typer(cli_crash.classes, name="class")


PARTS: dict[str, Callable[[typer.Typer], None]] = {
    "plan": _offline,
    "check": _offline,
    "advisory": _advisory,
    "livepatch": _livepatch,
    "rollout": _rollout,
    "host": _fleet,
    "guest": _fleet,
    "inventory": _fleet,
    "crash": _crash,
    "class": _crash,
    "controller": _controller,
    "notify": _notify,
    "report": _report,
    "serve": _service,
    "token": _service,
}
"""Which part brings which command."""


def build(command: str | None = None) -> typer.Typer:
    """The program with the part that this command needs, or with all of them."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Roll a fleet of Xen hosts onto a fixed hypervisor, guest by guest.",
        epilog=EXIT_CODES,
    )
    app.callback()(_root)
    wanted = PARTS.get(command or "")
    for part in [wanted] if wanted else dict.fromkeys(PARTS.values()):
        part(app)
    return app


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"xenroll {VERSION}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Which one it is."),
    ] = False,
) -> None:
    """Keeps the sub-commands sub-commands even where a part brings a single one."""


def main() -> None:
    """The console entry; what nobody foresaw is a defect, and its exit code says so."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("planner", "agents", "scheduler"):
            raise
        line = f"the package {error.name} is missing: install xenroll[control,web]"
        print(f"xenroll: {line}", file=sys.stderr)
        sys.exit(int(Exit.INTERNAL))
    except Exception as error:
        traceback.print_exc()
        line = f"a defect of xenroll: {type(error).__name__}: {error}"
        print(f"xenroll: {plain(line)}", file=sys.stderr)
        sys.exit(int(Exit.INTERNAL))
