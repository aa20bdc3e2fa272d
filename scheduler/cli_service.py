"""`xenroll serve` and `xenroll token …`: the HTTP service, and who may use it."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli_common import Exit, fail, note, person, settings, store
from scheduler.cli_people import Yes, chosen, people, sure
from scheduler.cli_print import Column, minute, print_lines, print_rows
from scheduler.service.access import NAME_FORM, NoToken, Role, Token, Tokens
from scheduler.store import Store

tokens = typer.Typer(no_args_is_help=True, help="Who may use the HTTP service, and until when.")

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit trail.")]
MOST_DAYS = 3650


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(serve)
    app.add_typer(tokens, name="token")


def serve(
    listen: Annotated[
        str, typer.Option(help="Address and port, or unix:PATH for a proxy on this machine.")
    ] = "127.0.0.1:8470",
    behind_proxy: Annotated[
        str, typer.Option(help="Addresses whose X-Forwarded-Proto and -For are believed.")
    ] = "127.0.0.1",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
) -> None:
    """Serve API, dashboard and metrics until SIGTERM."""
    from scheduler.link import Away
    from scheduler.service.run import Listen, ListenError, run

    if (tls_cert is None) != (tls_key is None):
        fail(Exit.BAD_INPUT, "--tls-cert and --tls-key belong together: give both or none")
    for file in (tls_cert, tls_key):
        if file is not None and not file.is_file():
            fail(Exit.BAD_INPUT, f"{file}: no such file")
    try:
        where = Listen.parse(listen, behind_proxy, tls_cert, tls_key)
        raise typer.Exit(run(settings(), where))
    except ListenError as error:
        fail(Exit.BAD_INPUT, str(error))
    except Away as error:
        fail(Exit.AWAY, str(error))


def _tokens(held: Store) -> Tokens:
    return Tokens(held.client, os.urandom)


@people(tokens, without=["server"])
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, such as anna or grafana.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    days: Annotated[float, typer.Option(help="For how long it works.")] = 90.0,
    link: Annotated[
        str,
        typer.Option(
            help="Print a login link to the dashboard at this address; it holds the token."
        ),
    ] = "",
    reason: Reason = "",
) -> None:
    """Make a token and print it, this once; only its hash is kept."""
    if not re.fullmatch(NAME_FORM, name):
        fail(Exit.BAD_INPUT, f"{name!r}: expected up to 64 letters, digits, dots, dashes, @ or _")
    if not 0 < days <= MOST_DAYS:
        fail(Exit.BAD_INPUT, f"--days {days}: expected more than 0 and at most {MOST_DAYS}")
    now = datetime.now(UTC)
    with store() as held:
        note(held, "token.create", f"{name} ({role}, {days:g} days)", reason)
        text = _tokens(held).create(name, role, person(), now, now + timedelta(days=days))
    shown = f"{link.rstrip('/')}/login#{text}" if link else text
    print_lines({"link" if link else "token": shown}, [shown], chosen())


COLUMNS = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("ROLE", "role"),
    Column("STATE", "state"),
    Column("UNTIL", minute("expires_at")),
    Column("MADE BY", "created_by", wide=True),
    Column("MADE", minute("created_at"), wide=True),
)


@people(tokens, "list", without=["server"])
def list_() -> None:
    """Every token that was made, without its secret."""
    now = datetime.now(UTC)
    with store() as held:
        found = _tokens(held).all()
    rows = [
        token.model_dump(mode="json", exclude={"secret_sha256"}) | {"state": _state(token, now)}
        for token in found
    ]
    print_rows(rows, COLUMNS, chosen())


def _state(token: Token, now: datetime) -> str:
    return "works" if token.works(now) else "revoked" if token.revoked_at else "ended"


@people(tokens, without=["server"])
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as in `token list`.")],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """It lets nobody in from this moment; browsers that came in with it are out, too."""
    sure(f"revoke token {token}?", yes)
    with store() as held:
        try:
            found = _tokens(held).get(token)
            note(held, "token.revoke", f"{found.name} ({token})", reason)
            _tokens(held).revoke(token, datetime.now(UTC))
        except NoToken:
            fail(Exit.NOT_FOUND, f"no token {token}; see `xenroll token list`")
    said = f"token {token} of {found.name} is revoked"
    print_lines({"revoked": token}, [said], chosen())
