"""A forecast on a terminal. Pure: a `Forecast` in, something that Rich can print out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scheduler.forecast import Forecast, Remedy
from scheduler.forecast_speeds import Speed, Speeds
from scheduler.show_screen import duration
from scheduler.text import plain

LISTED = 15


def clock(at: datetime) -> str:
    """A moment, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def render(said: Forecast) -> RenderableType:
    """The whole forecast."""
    parts: list[RenderableType] = [Text(plain(line)) for line in lines(said)]
    if said.late_hosts:
        parts += [Text(), _late(said)]
    if said.remedies and said.p90_s > 0:
        parts += [Text(), _remedies(said.remedies)]
    return Group(*parts)


def lines(said: Forecast) -> Iterable[str]:
    """What it comes to, a line for each thing."""
    yield from (one.text for one in said.assuming)
    yield f"left: {said.moves_left} moves, {said.reboots_left} reboots"
    yield f"p50: {clock(said.p50_at)}, in {duration(said.p50_s)}"
    yield f"p90: {clock(said.p90_at)}, in {duration(said.p90_s)}"
    if said.deadline is not None and said.chance_in_time is not None:
        late = f"; {len(said.late_hosts)} hosts are likely to miss it" if said.late_hosts else ""
        share = f"{100 * said.chance_in_time:.0f} % of {said.runs} runs end by then"
        share += f", but for {len(said.never)} hosts that no step makes safe" if said.never else ""
        yield f"deadline: {clock(said.deadline)}: {share}{late}"
    if said.never:
        shown = ", ".join(said.never[:LISTED]) + (", …" if len(said.never) > LISTED else "")
        yield f"blocked or put off, so never safe by this plan: {shown}"
    if said.guest_hours_so_far is not None and said.guest_hours_to_come is not None:
        yield (
            f"guest-hours on exposed hosts: {said.guest_hours_so_far:.1f} so far, "
            f"{said.guest_hours_to_come:.1f} to come"
        )
    yield from _speeds(said.speeds)


def _speeds(seen: Speeds) -> Iterable[str]:
    rate = f", {seen.mib_per_s:.0f} MiB/s each" if seen.mib_per_s else ""
    failing = f"{100 * seen.failing:.1f} % of attempts come to nothing"
    yield f"moves: taken to last {_speed(seen.move)}{rate}; {failing}"
    middle = f", half of them in at most {duration(seen.reboot_s)}" if seen.reboot_s else ""
    yield f"reboots: taken to last {_speed(seen.reboot)}{middle}"


def _speed(seen: Speed) -> str:
    if not seen.steps:
        return "as long as planned (none has ended yet)"
    return f"{seen.ratio:.2f} times as long as planned, after {seen.steps} that ended"


def _late(said: Forecast) -> RenderableType:
    table = Table("HOST", "WAVE", "P50", "P90", box=None, pad_edge=False)
    for one in said.late_hosts[:LISTED]:
        table.add_row(plain(one.host), str(one.wave or "-"), clock(one.p50_at), clock(one.p90_at))
    if len(said.late_hosts) > LISTED:
        table.add_row(f"and {len(said.late_hosts) - LISTED} more", "", "", "")
    return table


def _remedies(found: Iterable[Remedy]) -> RenderableType:
    table = Table("WHAT IF", "P50", "P90", "P90 EARLIER BY", "LATE HOSTS", box=None, pad_edge=False)
    for one in found:
        late = "-" if one.in_time is None else str(one.late_hosts)
        gain = duration(one.gain_p90_s) if one.gain_p90_s >= 1 else "nothing"
        table.add_row(plain(one.change), duration(one.p50_s), duration(one.p90_s), gain, late)
    return table
