"""The facts of a report: what a rollout came to, and what who takes over a shift has to know. Pure.

What happened since a moment, what is under way, what is held, who decided what, what comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from agents.wire import Kind
from scheduler.account import Account, account
from scheduler.book import Book
from scheduler.dead import SAYS_DEAD
from scheduler.forecast_assumed import assumed, in_short
from scheduler.progress import ClassAtRest, StepView
from scheduler.rollout import ENDED, Happening, HostState, Step, StepState
from scheduler.service import present
from scheduler.service.pace import pace, pace_to_come
from scheduler.service.views import FleetView, RolloutView

QUIET = frozenset(
    {"started", "moved", "ordered", "draining", "held", "notice", "loading", "retune"}
)
"""Kinds of events that a report only counts."""
DECISIONS = frozenset({"created", "approved", "paused", "resumed", "abort", "left out", "released"})
BY = "by "
"""So the text of an event begins that a person caused: `by anna: the reason`."""
LISTED = 300
NEXT_HOSTS = 12


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Since(_Part):
    """Counts of what happened from then on."""

    moves: int
    hosts_fixed: int
    restarted: int
    crashed: list[str]
    stayed: int  # attempts after which a guest was where it had been
    newly_blocked: list[str]


class Held(_Part):
    """Something that cannot go on, and who is asked about it."""

    host: str
    guest: str
    owner: str
    kind: str
    reason: str
    since_s: float | None


class NextHost(_Part):
    """A host whose turn comes, and when about; None where no pace can be told yet."""

    host: str
    wave: int | None
    steps: int  # that are left before it is fixed
    expected_at: datetime | None


class Report(Account):
    """All of it. `since` None: from the start of the rollout."""

    at: datetime
    since: datetime | None
    happened: Since
    lines: list[Happening]  # without those that are only counted, oldest first
    lines_left_out: int  # older ones, for which the event log is the place
    quarantined: list[ClassAtRest]  # classes that are not moved, whose, and who waits for them
    under_way: list[StepView]
    held_now: list[Held]
    decisions: list[Happening]
    next_hosts: list[NextHost]
    hosts_left: int
    ends_p50_at: datetime | None
    ends_p90_at: datetime | None
    provided: str  # what these two assume, in short
    deadline: datetime | None


def report(
    view: RolloutView,
    fleet: FleetView,
    lines: Sequence[Happening],
    since: datetime | None,
    now: datetime,
) -> Report:
    """What is to be told of a rollout; `lines` are its event log, oldest first."""
    book, start = view.book, since or view.book.rollout.created_at
    told = [one for one in lines if one.at >= start]
    notable = [one for one in told if one.kind not in QUIET]
    deadline_s = view.curve.deadline_at_s
    going = book.rollout.state not in ENDED
    return Report(
        **account(book, now).model_dump(),
        at=now,
        since=since,
        happened=_since(book, start, _stayed(book, told, since)),
        lines=notable[-LISTED:],
        lines_left_out=max(0, len(notable) - LISTED),
        quarantined=list(view.progress.quarantined),
        under_way=list(view.progress.in_flight),
        held_now=_held(view, fleet),
        decisions=[one for one in told if _decided(one)],
        next_hosts=_next(book, now)[:NEXT_HOSTS] if going else [],
        hosts_left=sum(host.state in LEFT for host in book.hosts.values()),
        ends_p50_at=_after(now, view.curve.left_p50_s) if going else None,
        ends_p90_at=_after(now, view.curve.left_p90_s) if going else None,
        provided=in_short(assumed(book)),
        deadline=datetime.fromtimestamp(deadline_s, now.tzinfo) if deadline_s else None,
    )


LEFT = frozenset({HostState.WAITING, HostState.DRAINING, HostState.REBOOTING})


def _after(now: datetime, left_s: float | None) -> datetime | None:
    return None if left_s is None else now + timedelta(seconds=left_s)


def _decided(line: Happening) -> bool:
    said_dead = line.kind == "lost" and SAYS_DEAD in line.text
    return said_dead or line.kind in DECISIONS or line.text.startswith(BY)


def _since(book: Book, start: datetime, stayed: int) -> Since:
    ended = [s for s in book.steps.values() if s.ended_at is not None and s.ended_at >= start]
    done = [step for step in ended if step.state is StepState.DONE]
    hosts = [h for h in book.hosts.values() if h.since is not None and h.since >= start]
    return Since(
        moves=sum(step.kind is Kind.MOVE and step.outcome == "moved" for step in done),
        hosts_fixed=sum(host.state is HostState.FIXED for host in hosts),
        restarted=sum(step.kind is Kind.START and step.outcome != "moot" for step in done),
        crashed=sorted({s.guest or "" for s in done if s.outcome == "crashed"}),
        stayed=stayed,
        newly_blocked=sorted(host.name for host in hosts if host.state is HostState.BLOCKED),
    )


def _stayed(book: Book, told: Sequence[Happening], since: datetime | None) -> int:
    """Guests' records count such attempts, but not when they were; the event log knows that."""
    if since is None:
        return sum(guest.stayed for guest in book.guests.values())
    steps = (book.steps.get(line.step or "") for line in told if line.kind == "stayed")
    return sum(step is not None and step.kind is not Kind.RETUNE for step in steps)


def _held(view: RolloutView, fleet: FleetView) -> list[Held]:
    return [
        Held(
            host=row.host,
            guest=row.guest,
            owner=row.owner,
            kind=row.kind,
            reason=row.reason,
            since_s=row.since_s,
        )
        for row in present.held(view, fleet)[:LISTED]
    ]


def _next(book: Book, now: datetime) -> list[NextHost]:
    """Hosts that are not touched yet, in the order in which the plan comes to them."""
    measured = pace_to_come(book, now) if pace(book, now) else None
    left: dict[str, list[Step]] = {}
    for name in book.unfinished:
        step = book.steps[name]
        if book.hosts[step.host].state is HostState.WAITING:
            left.setdefault(step.host, []).append(step)
    found = []
    for host, steps in left.items():
        starts_s = min(step.planned_start_s for step in steps)
        expected_at = None
        if measured is not None:
            ahead_s = max(0.0, starts_s - measured.reached_s) * measured.real_per_planned
            expected_at = now + timedelta(seconds=ahead_s)
        row = NextHost(
            host=host, wave=book.hosts[host].wave, steps=len(steps), expected_at=expected_at
        )
        found.append((starts_s, host, row))
    return [row for _, _, row in sorted(found, key=_first_two)]


def _first_two(entry: tuple[float, str, NextHost]) -> tuple[float, str]:
    return entry[0], entry[1]


def blocked_first(held: Iterable[Held]) -> list[Held]:
    """Those that keep a host exposed before the others."""
    return sorted(held, key=lambda one: (one.kind != "blocked host", one.host, one.guest))
