"""A rollout on a terminal: one screen that is drawn again and again, or one line at a time.

Pure: a `Progress` in, something that Rich can print out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.wire import Kind
from scheduler.forecast_assumed import in_short
from scheduler.progress import Progress, StepView, WaveView
from scheduler.rollout import ENDED, Happening, HostRecord, HostState, Outlook, RolloutState
from scheduler.text import plain

HOST_LOOK = {
    HostState.WAITING: ("·", "dim"),
    HostState.DRAINING: ("▾", "yellow"),
    HostState.REBOOTING: ("↻", "magenta"),
    HostState.FIXED: ("●", "green"),
    HostState.BLOCKED: ("✗", "red"),
    HostState.OPENED: ("○", "cyan"),
    HostState.UNAFFECTED: ("-", "dim"),
}
"""A sign and a colour for each state; the sign alone has to do where there is no colour."""

STATE_STYLE = {
    RolloutState.RUNNING: "green",
    RolloutState.DONE: "bold green",
    RolloutState.STOPPED: "bold red",
    RolloutState.ABORTING: "red",
    RolloutState.ABORTED: "bold red",
}

QUIET = frozenset({"started", "ordered", "held"})
"""Happenings that a screen of a few lines has no room for."""

BAR_WIDTH = 24

HOLDS_SHOWN = 8
HOSTS_SHOWN = 120
"""More hosts than this are counted by state instead of shown one by one."""


def duration(seconds: float | None) -> str:
    """`4:05`, `1:02:03`; a dash where nothing can be told."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def headline(progress: Progress) -> Text:
    """Which rollout, its state, how long it runs, how long it will."""
    line = Text.assemble((f"{progress.advisory}  ", "bold"), (f"rollout {progress.id}  ", "dim"))
    line.append(str(progress.state), STATE_STYLE.get(progress.state, "yellow"))
    line.append(f"  {duration(progress.elapsed_s)} gone")
    if progress.left_s is not None and progress.left_s > 0:
        line.append(f", about {duration(progress.left_s)} left")
    if progress.outlook is not None and progress.state not in ENDED:
        line.append(f"  {_outlook(progress.outlook)}", "red" if progress.outlook.late else "dim")
    if progress.generation > 1:
        line.append(f"  plan {progress.generation}", "dim")
    return line


def _outlook(seen: Outlook) -> str:
    words = f"ends {seen.p50_at:%H:%M}, nine in ten by {seen.p90_at:%H:%M} UTC{_provided(seen)}"
    if seen.deadline is None:
        return words
    return f"{words}, deadline {seen.deadline:%H:%M}" + (" AT RISK" if seen.late else "")


def _provided(seen: Outlook | None) -> str:
    """What the forecast takes for granted, as the end of a sentence."""
    short = in_short(seen.assuming) if seen else ""
    return f" {short}" if short else ""


def plain_line(progress: Progress) -> str:
    """The rollout in one line, for a log or a terminal that cannot be drawn on."""
    away = Counter(host.state for host in progress.hosts)
    parts = [
        f"{duration(progress.elapsed_s)} {progress.state}",
        f"hosts {progress.hosts_fixed}/{progress.hosts_to_fix} fixed",
        f"{away[HostState.DRAINING]} draining",
        f"{away[HostState.REBOOTING]} rebooting",
        f"moves {progress.moves_done}/{progress.moves_planned}",
        f"{_moving(progress.in_flight)} in flight",
        f"left {duration(progress.left_s)}{_provided(progress.outlook)}",
    ]
    if progress.crashed:
        parts.append(f"{len(progress.crashed)} crashed")
    if progress.hold:
        parts.append(f"held: {progress.hold.reason}")
    return plain(", ".join(parts))


def happening_line(happening: Happening) -> str:
    """One line of the event log."""
    return plain(f"{happening.at:%H:%M:%S} {happening.kind}: {happening.text}")


def held_lines(progress: Progress) -> list[str]:
    """A line for each hold, and for each host that was left out."""
    whole = [f"held by {h.by}: {h.reason}" for h in progress.holds if h.what == "rollout"]
    still = [_still(step) for step in progress.in_flight if step.suspended]
    parts = [one for one in progress.holds if one.what != "rollout"]
    alone = [f"{h.what} since {h.since:%m-%d %H:%M:%S}: {h.reason}" for h in progress.unmonitored]
    held = [f"{h.what} held by {h.by} since {h.since:%m-%d %H:%M:%S}: {h.reason}" for h in parts]
    out = [f"{h.what}: {h.reason}" for h in progress.left_out]
    return [plain(line) for line in (*still, *whole, *held, *alone, *out)]


def _still(step: StepView) -> str:
    """A guest that stands still in its move, since when, and whether that is too long."""
    assert step.suspended is not None
    one = step.suspended
    alarm = "ALARM: " if one.overdue else ""
    where = f"on {step.host}, on its way to {step.destination}"
    return (
        f"{alarm}{step.guest} is suspended {where}, since {one.since:%H:%M:%S}"
        f" ({duration(one.for_s)})"
    )


def screen(progress: Progress, happenings: Sequence[Happening], lines: int = 40) -> RenderableType:
    """The whole picture; `lines` is how high the terminal is."""
    parts: list[RenderableType] = [headline(progress)]
    parts += [Text(line, "bold red") for line in held_lines(progress)[:HOLDS_SHOWN]]
    for rest in progress.quarantined:
        parts.append(Text(plain(rest.words), "yellow"))
    parts += [_guests(progress), Text(), _bars(progress), Text(), _hosts(progress.hosts), Text()]
    rows = max(3, min(8, lines - len(progress.waves) - 20))
    parts.append(_flights(progress, rows))
    notable = [one for one in happenings if one.kind not in QUIET][-max(3, rows - 1) :]
    body = "\n".join(happening_line(one) for one in notable)
    parts.append(Panel(Text(body, overflow="ellipsis", no_wrap=True), title="what happened"))
    return Group(*parts)


def _bars(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    words = f"{progress.moves_done}/{progress.moves_planned} moves"
    _bar(table, "all", progress.hosts_fixed, progress.hosts_to_fix, words)
    for wave in progress.waves:
        name = f"wave {wave.number}" + (" late" if wave.late else "")
        _bar(table, name, wave.fixed, wave.hosts, _wave_line(wave))
    return table


def _bar(table: Table, name: str, done: int, total: int, words: str) -> None:
    bar = ProgressBar(total=max(1, total), completed=done, width=BAR_WIDTH)
    line = Text(words, no_wrap=True, overflow="ellipsis")
    table.add_row(Text(name, "bold"), bar, f"{done}/{total} hosts", line)


def _guests(progress: Progress) -> Text:
    parts = [
        f"{len(progress.down)} shut down for a reboot",
        f"{len(progress.given_up)} that cannot be moved",
        f"{len(progress.crashed)} crashed",
    ]
    return Text(f"guests: {', '.join(parts)}", no_wrap=True, overflow="ellipsis")


def _wave_line(wave: WaveView) -> str:
    parts = [f"{wave.moves_done}/{wave.moves} moves"]
    for number, word in (
        (wave.draining, "draining"),
        (wave.rebooting, "rebooting"),
        (wave.blocked, "blocked"),
    ):
        if number:
            parts.append(f"{number} {word}")
    return ", ".join(parts)


def _hosts(hosts: Sequence[HostRecord]) -> RenderableType:
    if len(hosts) > HOSTS_SHOWN:
        counts = Counter(host.state for host in hosts)
        return Text(", ".join(f"{counts[state]} {state}" for state in HostState if counts[state]))
    by_pool: dict[str, list[HostRecord]] = {}
    for host in hosts:
        by_pool.setdefault(host.pool, []).append(host)
    return Group(*(Columns(map(_host, pool)) for pool in by_pool.values()))


def _host(host: HostRecord) -> Text:
    sign, style = HOST_LOOK[host.state]
    return Text(plain(f"{sign} {host.name}"), "bold red" if host.silent else style)


def _moving(steps: Iterable[StepView]) -> int:
    return sum(step.kind is Kind.MOVE for step in steps)


def _flown(step: StepView) -> list[str]:
    if step.flight is None:
        return []
    one = step.flight
    return [f"{one.sent_mib:.0f}/{one.memory_mib} MiB", f"left: {one.words}"]


def _flights(progress: Progress, rows: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    steps = [step for step in progress.in_flight if step.kind is not Kind.REBOOT]
    for step in steps[:rows]:
        where = f"{step.host} → {step.destination}" if step.destination else step.host
        words = [str(step.kind), step.guest or "", where, duration(step.since_s), step.state]
        words += _flown(step)
        table.add_row(*(Text(plain(word)) for word in words))
    if len(steps) > rows:
        table.add_row(f"and {len(steps) - rows} more")
    for _ in range(rows + 1 - table.row_count):  # so that the picture does not jump
        table.add_row("")
    return Panel(table, title=f"{_moving(progress.in_flight)} moves in flight")
