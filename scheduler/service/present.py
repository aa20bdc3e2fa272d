"""From views to what a page shows: words, shares and rows, ready to be printed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.wire import Kind
from scheduler.late_wave import late_hosts
from scheduler.progress import Progress, StepView, WaveView
from scheduler.rollout import ENDED, HostRecord, HostState, RolloutState, attempt_id
from scheduler.service.exposure import SAFE
from scheduler.service.views import FleetView, RolloutView

MIB = 2**20
DASH = "\u2013"
LISTED = 200
"""Rows of a table before it ends in "and N more"."""

STATE_LETTER = {
    HostState.WAITING: "w",
    HostState.DRAINING: "d",
    HostState.REBOOTING: "r",
    HostState.FIXED: "f",
    HostState.BLOCKED: "b",
    HostState.OPENED: "o",
    HostState.UNAFFECTED: "u",
}
STATE_MEANING = {
    HostState.WAITING: "waiting its turn",
    HostState.DRAINING: "closed, being emptied",
    HostState.REBOOTING: "rebooting",
    HostState.FIXED: "fixed, used again",
    HostState.BLOCKED: "blocked",
    HostState.OPENED: "opened again by an abort",
    HostState.UNAFFECTED: "needs no reboot",
}
MOOD = {
    RolloutState.RUNNING: "good",
    RolloutState.REPLANNING: "good",
    RolloutState.DONE: "good",
    RolloutState.AWAITING: "warn",
    RolloutState.PAUSED: "warn",
    RolloutState.STOPPED: "bad",
    RolloutState.ABORTING: "bad",
    RolloutState.ABORTED: "bad",
}
"""The colour of a rollout's state; its word says the same to who sees no colours."""


@dataclass(frozen=True)
class Square:
    """One host in the grid."""

    name: str
    letter: str
    title: str
    silent: bool


@dataclass(frozen=True)
class Group:
    """The squares of one wave, or of the hosts that are in none."""

    title: str
    wave: int | None
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class MoveRow:
    """A step under way."""

    step: StepView
    what: str
    sent_mib: float | None
    total_mib: int | None
    rate_mib_s: float | None

    @property
    def share(self) -> float | None:
        """How much is sent, 0 to 1: capped, as what a guest writes meanwhile is sent again."""
        if self.sent_mib is None or not self.total_mib:
            return None
        return min(1.0, self.sent_mib / self.total_mib)


@dataclass(frozen=True)
class HeldRow:
    """Something that cannot go on."""

    host: str
    guest: str
    owner: str
    reason: str
    since_s: float | None
    kind: str  # `blocked host`, `late host`, `held step`, `guest left out`, `guest down`


@dataclass(frozen=True)
class CrashClass:
    """The guests of one class that crashed."""

    name: str
    crashed: int
    moved: int
    guests: tuple[tuple[str, str, str], ...]  # (guest, host, reason)


def groups(progress: Progress) -> list[Group]:
    """The grid: waves in their order, then the hosts without one."""
    waves: dict[int | None, list[Square]] = {}
    for host in progress.hosts:
        waves.setdefault(host.wave, []).append(
            Square(host.name, STATE_LETTER[host.state], _title(host), bool(host.silent))
        )
    numbers = sorted(number for number in waves if number is not None)
    found = [Group(f"Wave {n}", n, tuple(waves[n])) for n in numbers]
    if None in waves:
        found.append(Group("In no wave", None, tuple(waves[None])))
    return found


def density(hosts: int) -> str:
    """How large squares can be so that all of them are seen at once."""
    return "few" if hosts <= 60 else "some" if hosts <= 300 else "many"


def _title(host: HostRecord) -> str:
    said = f"{host.name}: {STATE_MEANING[host.state]}"
    extra = "; ".join(text for text in (host.reason, host.silent) if text)
    return f"{said} ({extra[:200]})" if extra else said


def letters(progress: Progress) -> str:
    """The grid's states as one letter a host, in the order of `groups`; `~` before a silent one."""
    return "".join(
        f"~{square.letter}" if square.silent else square.letter
        for group in groups(progress)
        for square in group.squares
    )


def legend(progress: Progress) -> list[tuple[str, str, int]]:
    """(letter, meaning, how many) of every state."""
    counts = Counter(host.state for host in progress.hosts)
    return [(STATE_LETTER[state], STATE_MEANING[state], counts[state]) for state in HostState]


def grid(progress: Progress) -> dict[str, Any]:
    """What an open page paints its squares by: a thousand hosts in a kilobyte."""
    return {
        "letters": letters(progress),
        "generation": progress.generation,
        "busy": sorted(current_waves(progress.waves)),
        "counts": {letter: count for letter, _, count in legend(progress)},
    }


def under_way(view: RolloutView, fleet: FleetView) -> list[MoveRow]:
    """Steps under way, with what the hosts say of their bytes."""
    rows = []
    for step in view.progress.in_flight:
        sent, rate = _bytes(view, fleet, step)
        places = fleet.where.get(step.guest or "", ())
        total = next((fleet.guests[p][1].memory_mib for p in places), None)
        rows.append(MoveRow(step, _what(step), sent, total, rate))
    return rows


def _what(step: StepView) -> str:
    return {Kind.MOVE: "move", Kind.MEND: "clean up"}.get(step.kind, str(step.kind))


def _bytes(
    view: RolloutView, fleet: FleetView, step: StepView
) -> tuple[float | None, float | None]:
    """MiB sent so far, and MiB a second on average since the start."""
    report = fleet.reports.get(step.host)
    name = attempt_id(view.progress.id, step.id, step.attempt)
    attempts = report.attempts if report else ()
    found = next((a for a in attempts if a.attempt_id == name), None)
    if report is None or found is None or found.bytes_sent is None:
        return None, None
    sent_mib = found.bytes_sent / MIB
    # Both times are by the host's own clock.
    ran_s = (report.taken_at - found.started_at).total_seconds() if found.started_at else 0.0
    return sent_mib, sent_mib / ran_s if ran_s > 0 else None


def held(view: RolloutView, fleet: FleetView) -> list[HeldRow]:
    """All that a person may have to do something about."""
    rows = list(_blocked(view, fleet))
    for step in view.progress.held:
        guest = step.guest or ""
        rows.append(
            HeldRow(step.host, guest, fleet.owner_of(guest), step.reason, step.since_s, "held step")
        )
    for record in view.progress.given_up:
        host = view.book.hosts.get(record.host)
        if host is not None and host.state in SAFE:
            continue  # it was restarted there with its host
        owner = fleet.owner_of(record.name)
        rows.append(HeldRow(record.host, record.name, owner, record.reason, None, "guest left out"))
    return rows + [_down(view, fleet, name) for name in view.progress.down]


def _down(view: RolloutView, fleet: FleetView, name: str) -> HeldRow:
    """A guest that is shut down: since when, and what keeps it from being started, if anything."""
    guest = view.book.guests[name]
    since_s = (view.at - guest.down_since).total_seconds() if guest.down_since else None
    held = [one.reason for one in view.progress.holds if one.what == f"guest {name}"]
    reason = "; ".join(held) or "shut down by us"
    return HeldRow(guest.host, name, fleet.owner_of(name), reason, since_s, "guest down")


def _blocked(view: RolloutView, fleet: FleetView) -> Iterable[HeldRow]:
    late = late_hosts(view.book)
    for host in view.progress.hosts:
        since_s = (view.at - host.since).total_seconds() if host.since else None
        if host.name in late:
            yield HeldRow(host.name, "", _owners(view, host), host.reason, since_s, "late host")
        if host.state is not HostState.BLOCKED:
            continue
        for guest, reason in view.blocked.get(host.name) or [("", host.reason)]:
            owner = fleet.owner_of(guest)
            yield HeldRow(host.name, guest, owner, reason, since_s, "blocked host")


def _owners(view: RolloutView, host: HostRecord) -> str:
    """Of the guests at rest on a host of the late wave."""
    here = [g for g in view.book.guests.values() if g.quarantine and g.host == host.name]
    return ", ".join(sorted({guest.owner for guest in here if guest.owner}))


def crash_classes(view: RolloutView) -> list[CrashClass]:
    """Crashes by guest class, beside how many guests of the class were moved."""
    moved: Counter[str] = Counter()
    crashed: dict[str, list[tuple[str, str, str]]] = {}
    for guest in view.book.guests.values():
        name = guest.guest_class or "class not known"
        moved[name] += guest.moves > 0 or guest.crashed
        if guest.crashed:
            crashed.setdefault(name, []).append((guest.name, guest.host, guest.reason))
    return [
        CrashClass(name, len(crashed[name]), moved[name], tuple(sorted(crashed[name])))
        for name in sorted(crashed, key=lambda name: (-len(crashed[name]), name))
    ]


def current_waves(waves: Iterable[WaveView]) -> frozenset[int]:
    """The waves that something happens in."""
    return frozenset(wave.number for wave in waves if wave.draining or wave.rebooting)


def mood(progress: Progress, control: Mapping[str, str]) -> tuple[str, str]:
    """The word for a rollout's state and its colour; a wish counts before it is taken up."""
    wanted = control.get("wanted")
    if progress.state not in ENDED:
        if wanted == "abort":
            return "aborting", "bad"
        if wanted == "pause" and progress.state is RolloutState.RUNNING:
            return "pausing", "warn"
    return str(progress.state), MOOD[progress.state]


def duration(seconds: float | None) -> str:
    """`4 s`, `12 min`, `3 h 05 min`, `2 d 4 h`; a dash where nothing is known."""
    if seconds is None:
        return DASH
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def size(mib: float | None) -> str:
    """`512 MiB`, `1.5 GiB`, `2.1 TiB`."""
    if mib is None:
        return DASH
    for unit in ("MiB", "GiB"):
        if mib < 1024:
            return f"{mib:.0f} {unit}" if unit == "MiB" or mib >= 100 else f"{mib:.1f} {unit}"
        mib /= 1024
    return f"{mib:.1f} TiB"
