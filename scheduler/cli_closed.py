"""`xenroll host closed`: which hosts take no new guests now, and for which rollout."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from scheduler.cli_common import store
from scheduler.cli_forecast import Output, OutputAs
from scheduler.text import plain


def host_closed(output: OutputAs = Output.TABLE) -> None:
    """Hosts that take no new guests, for whoever places guests; the key is `xr:closed`."""
    from scheduler.closed import closed_hosts

    with store() as held:
        found = closed_hosts(held.client)
    if output is Output.JSON:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    if not found:
        typer.echo("no host is closed")
        return
    table = Table("HOST", "ROLLOUT", "SINCE", "WHY", box=None, pad_edge=False)
    for one in found:
        since = f"{one.since:%Y-%m-%d %H:%M}" if one.since else "-"
        table.add_row(plain(one.host), plain(one.rollout), since, plain(one.reason))
    Console().print(table)
