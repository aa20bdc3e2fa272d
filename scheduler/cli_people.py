"""Commands for people: each asks the API, prints in the format asked for, says why it changes."""

from __future__ import annotations

import functools
import getpass
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, TypeVar

import typer

from scheduler.cli_ask import Api, Refused, api, segment
from scheduler.cli_exit import Exit, fail
from scheduler.cli_form import Format
from scheduler.cli_watch import again_and_again

Function = TypeVar("Function", bound=Callable[..., None])

NO_REASON = "none given"

RolloutId = Annotated[
    str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the newest if left out.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit trail.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether I am sure.")]
NotAsked = Annotated[bool, typer.Option("--yes", "-y", help="This never asks: no difference.")]

Options = Mapping[str, tuple[Any, Any]]

_COMMON: Options = {
    "asked_form": (
        Annotated[Format, typer.Option("--output", "-o", help="How to print it.")],
        Format.TABLE,
    ),
    "asked_json": (Annotated[bool, typer.Option("--json", help="The same as -o json.")], False),
    "asked_watch": (
        Annotated[
            bool, typer.Option("--watch", "-w", help="Again and again; Ctrl-C only detaches.")
        ],
        False,
    ),
    "asked_server": (
        Annotated[
            str | None,
            typer.Option(
                "--server", help="Ask this service: https://HOST or unix:PATH. Else XENROLL_SERVER."
            ),
        ],
        None,
    ),
}
"""Options of every command for people: name -> (type, default)."""

_format: ContextVar[Format] = ContextVar("format", default=Format.TABLE)
_server: ContextVar[str | None] = ContextVar("server", default=None)
_api: ContextVar[Api | None] = ContextVar("api", default=None)


def people(
    app: typer.Typer,
    name: str | None = None,
    *,
    without: Sequence[str] = (),
    watch: bool = False,
) -> Callable[[Function], Function]:
    """Add a function to the program as a command with the options that all of these have.

    `without` those: `server`, where it is for control nodes alone; `form`, where --output says
    something else. `watch`: it only reads, and can be told to go on reading.
    """
    left_out = {f"asked_{one}" for one in (*without, *(() if watch else ("watch",)))}
    common = {key: one for key, one in _COMMON.items() if key not in left_out}

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def command(
            *,
            asked_json: bool,
            asked_form: Format = Format.TABLE,
            asked_server: str | None = None,
            asked_watch: bool = False,
            **given: Any,
        ) -> None:
            _format.set(Format.JSON if asked_json else asked_form)
            _server.set(asked_server)
            _run(lambda: function(**given), asked_watch)

        _give_options(command, function, common)
        app.command(name)(command)
        return function

    return register


def _run(command: Callable[[], None], watch: bool) -> None:
    """Run it once or until Ctrl-C; a refusal ends it with one line and its exit code."""
    _api.set(None)
    try:
        if watch:
            again_and_again(command)
        else:
            command()
    except Refused as refused:
        fail(refused.code, refused.lines)
    finally:
        if known := _api.get():
            known.close()


def _give_options(command: Any, function: Callable[..., None], common: Options) -> None:
    """Make `command` look as if it had the function's parameters and the common ones."""
    seen = inspect.signature(function, eval_str=True)
    more = [
        inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for key, (annotation, default) in common.items()
    ]
    whole = seen.replace(parameters=[*seen.parameters.values(), *more])
    command.__signature__ = whole
    command.__annotations__ = {key: one.annotation for key, one in whole.parameters.items()}


def chosen() -> Format:
    """The format that this command was asked for."""
    return _format.get()


def ask() -> Api:
    """The API that this command asks, one and the same until it ends. Raises Refused."""
    from scheduler.cli_common import settings

    known = _api.get()
    if known is None:
        known = api(settings(), _server.get(), person())
        _api.set(known)
    return known


def person() -> str:
    """Who gives the command."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def why(reason: str) -> str:
    """The reason given; at a terminal it is asked for."""
    if not reason and _at_terminal():
        reason = str(typer.prompt("why", default=NO_REASON, err=True))
    return reason if len(reason.strip()) >= 3 else f"{reason.strip()} ({NO_REASON})".strip()


def sure(question: str, yes: bool) -> None:
    """Ask a person at a terminal; a script is taken at its word. Raises Refused."""
    if not yes and _at_terminal() and not typer.confirm(question, err=True):
        raise Refused(Exit.REFUSED, "nothing was done")


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def the_rollout(api: Api, given: str | None) -> str:
    """The id given, or that of the newest rollout. Raises Refused where there is none."""
    if given is not None:
        if segment(given) != given:
            raise Refused(Exit.NOT_FOUND, f"there is no rollout {given}")
        return given
    newest = api.get("/rollouts", limit=1)["items"]
    if not newest:
        said = "there is no rollout yet; start one with `xenroll rollout start`"
        raise Refused(Exit.NOT_FOUND, said)
    return str(newest[0]["id"])
