"""What a rollout came to: for the terminal at its end, and for whoever asks later. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scheduler.account import microcode
from scheduler.choice import Way
from scheduler.progress import Progress
from scheduler.rollout import GuestRecord, HostRecord, HostState
from scheduler.show_screen import duration, headline
from scheduler.text import plain

LISTED = 12
"""Names in a list before it ends in "and N more"."""
PLANNED_WITH = "planned times and their bound: with the durations planned with; hosts may be faster"


def report(progress: Progress, guests: Sequence[GuestRecord]) -> RenderableType:
    """The report on a rollout, as far as it has come; `guests` in the order of their names."""
    parts: list[RenderableType] = [headline(progress), Text(), _figures(progress)]
    parts += [Text(PLANNED_WITH, "dim"), Text()]
    parts += _sections(progress, guests)
    return Group(*parts)


def _figures(progress: Progress) -> Table:
    table = Table("", "reached", "planned", "first plan's lower bound", box=None, pad_edge=False)
    table.add_row(
        "hosts on a fixed build", str(progress.hosts_fixed), str(progress.hosts_to_fix), ""
    )
    table.add_row(
        "moves",
        str(progress.moves_done),
        str(progress.moves_planned),
        str(progress.moves_lower_bound),
    )
    table.add_row(
        "time",
        duration(progress.elapsed_s),
        duration(progress.planned_makespan_s),
        duration(progress.makespan_lower_bound_s),
    )
    return table


def _sections(progress: Progress, guests: Sequence[GuestRecord]) -> list[RenderableType]:
    blocked = [host for host in progress.hosts if host.state is HostState.BLOCKED]
    restarted = [guest for guest in guests if guest.restarts]
    stayed = [guest for guest in guests if guest.stayed and not guest.evacuation]
    sections = [
        ("how often guests moved", _how_often(guests)),
        ("how long they stood still in a move", _stood_still(progress)),
        ("restarted with their hosts", [_why(guest) for guest in restarted]),
        ("could not be moved", [_why(guest) for guest in progress.given_up]),
        ("moved only after another try", [_why(guest) for guest in stayed]),
        ("crashed", [_why(guest) for guest in progress.crashed]),
        ("still shut down", list(progress.down)),
        ("microcode", _microcode(progress.hosts)),
        ("live-patched", _patched(progress.hosts)),
        ("classes of guests that are not moved", [one.words for one in progress.quarantined]),
        ("hosts that are held", [f"{host.name}: {host.reason}" for host in blocked]),
        ("steps that are held", [f"{step.id}: {step.reason}" for step in progress.held]),
    ]
    if progress.generation > 1:
        sections.append(("planned anew", [f"{progress.generation - 1} times"]))
    return [part for title, lines in sections if lines for part in _section(title, lines)]


def _stood_still(progress: Progress) -> list[str]:
    return [str(progress.blackouts)] if progress.moves_done else []


def _microcode(hosts: Sequence[HostRecord]) -> list[str]:
    """Revisions that the reboots changed, with how many hosts."""
    pairs = Counter(microcode(host) for host in hosts)
    changed = sorted((pair, count) for pair, count in pairs.items() if pair[0] != pair[1])
    return [f"{count} hosts from {before} to {after}" for (before, after), count in changed]


def _patched(hosts: Sequence[HostRecord]) -> list[str]:
    done = [host for host in hosts if host.choice and host.choice.way is Way.LIVEPATCH]
    fixed = sum(host.state is HostState.FIXED for host in done)
    return [f"{fixed} of {len(done)} hosts, without moving a guest"] if done else []


def _section(title: str, lines: Sequence[str]) -> list[RenderableType]:
    shown = [plain(line) for line in lines[:LISTED]]
    if len(lines) > LISTED:
        shown.append(f"and {len(lines) - LISTED} more")
    return [Text(title, "bold"), *(Text(plain(f"  {line}")) for line in shown)]


def _how_often(guests: Sequence[GuestRecord]) -> list[str]:
    counts = Counter(guest.moves for guest in guests if guest.moves)
    lines = [
        f"{counts[times]} guests {'once' if times == 1 else f'{times} times'}"
        for times in sorted(counts)
    ]
    often = [guest.name for guest in guests if guest.moves > 1]
    if often:
        more = f" and {len(often) - LISTED} more" if len(often) > LISTED else ""
        lines.append(f"more than once: {', '.join(often[:LISTED])}{more}")
    return lines


def _why(guest: GuestRecord) -> str:
    what = f"{guest.name} ({guest.guest_class})" if guest.guest_class else guest.name
    return f"{what} on {guest.host}" + (f": {guest.reason}" if guest.reason else "")
