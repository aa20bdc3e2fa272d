"""`xenroll rollout show`: what is done about each host, and why."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scheduler.book import Book
from scheduler.cli_common import store, the_rollout
from scheduler.rollout import HostRecord
from scheduler.text import plain


def show(
    rollout: Annotated[
        str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the newest if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Each host: live patch or reboot, why, and where it stands."""
    with store() as held:
        book = held.book(the_rollout(held, rollout))
    hosts = [book.hosts[name] for name in sorted(book.hosts)]
    if as_json:
        typer.echo(json.dumps(_document(book, hosts), indent=2))
        return
    typer.echo(plain(f"{book.rollout.id}: {book.rollout.advisory}, {book.rollout.state}"))
    table = Table("HOST", "STATE", "WAVE", "WAY", "WHY", box=None, pad_edge=False)
    for host in hosts:
        wave = "-" if host.wave is None else str(host.wave)
        way = str(host.choice.way) if host.choice else "-"
        table.add_row(Text(plain(host.name)), str(host.state), wave, way, Text(plain(why(host))))
    Console().print(table)


def why(host: HostRecord) -> str:
    """The reason of the choice, of what holds the host, and what its reboot changed."""
    before, after = host.before, host.after
    parts = [host.choice.reason if host.choice else "", host.reason]
    if before and after and before.microcode != after.microcode:
        parts.append(f"microcode {before.microcode} -> {after.microcode}")
    return "; ".join(dict.fromkeys(part for part in parts if part))


def _document(book: Book, hosts: list[HostRecord]) -> dict[str, object]:
    return {
        "id": book.rollout.id,
        "advisory": book.rollout.advisory,
        "state": book.rollout.state,
        "livepatch": book.rollout.livepatch,
        "hosts": [host.model_dump(mode="json") for host in hosts],
    }
