"""`xenroll host enroll` and `xenroll host withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from scheduler.cli_common import Exit, fail, note, settings, store
from scheduler.cli_people import Reason, Yes, chosen, sure
from scheduler.cli_print import print_lines


def host_enroll(
    name: Annotated[str, typer.Argument(help="The host, as the inventory names it.")],
    output: Annotated[
        Path | None, typer.Option(help="Where to write its files; a folder of its name.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="The server's URL as the host sees it, if it is not ours.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Make a Redis user that reaches this host's keys alone, and the files to put on the host."""
    from scheduler.enroll import EnrollError, enroll

    if not name or not name.isprintable() or len(name) > 255:
        fail(Exit.BAD_INPUT, f"{name!r} is no name of a host")
    if server is not None and urlsplit(server).scheme not in ("redis", "rediss", "unix"):
        fail(Exit.BAD_INPUT, f"--server {server}: expected redis://, rediss:// or unix://")
    try:
        with store() as held:
            note(held, "host.enroll", name, reason)
            made = enroll(held.client, server or settings().redis_url, name, output or Path(name))
    except EnrollError as error:
        fail(Exit.REFUSED, f"{name} was not enrolled: {error}")
    lines = [
        f"{made.host} is enrolled as the Redis user {made.user}",
        f"put {made.settings} and {made.password} into /etc/xenroll on the host",
    ]
    if not made.kept:
        lines.append("the server has no aclfile: it will not know the user after a restart")
    files = {"settings": str(made.settings), "password": str(made.password)}
    print_lines({"host": made.host, "user": made.user, "kept": made.kept, **files}, lines, chosen())


def host_withdraw(
    name: Annotated[str, typer.Argument(help="The host whose user is taken away.")],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Take a host's Redis user away: its agent can no longer report or be given steps."""
    from scheduler.enroll import withdraw

    sure(f"take the Redis user of host {name} away?", yes)
    with store() as held:
        note(held, "host.withdraw", name, reason)
        if not withdraw(held.client, name):
            fail(Exit.NOT_FOUND, f"no user of host {name} on this server")
    print_lines({"withdrawn": name}, [f"{name} is not enrolled any more"], chosen())
