"""`xenroll host closed`: which hosts take no new guests now, and for which rollout."""

from __future__ import annotations

from scheduler.cli_people import ask, chosen
from scheduler.cli_print import Column, minute, print_lines, print_rows

COLUMNS = (
    Column("HOST", "host"),
    Column("ROLLOUT", "rollout"),
    Column("SINCE", minute("since")),
    Column("WHY", "reason"),
)


def host_closed() -> None:
    """Hosts that take no new guests, for whoever places guests; the key is `xr:closed`."""
    found = ask().all("/closed-hosts")
    if not found and not chosen().for_programs:
        print_lines([], ["no host is closed"], chosen())
        return
    print_rows(found, COLUMNS, chosen())
