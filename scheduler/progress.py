"""`progress(book, now)`: the one view of a rollout behind command line, API and pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from agents.wire import Kind
from scheduler.blackouts import Blackouts, blackouts
from scheduler.book import Book
from scheduler.flight import Flight
from scheduler.forecast_assumed import assumed
from scheduler.holds import HeldView, holds, left_out, unmonitored
from scheduler.late_wave import late_hosts
from scheduler.rollout import (
    ENDED,
    GuestRecord,
    Hold,
    HostRecord,
    HostState,
    Outlook,
    RolloutState,
    Step,
    StepState,
)
from scheduler.standstill import Standstill, standstill


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepView(_View):
    """A step that is under way, or that something holds."""

    id: str
    kind: Kind
    state: StepState
    wave: int
    guest: str | None
    host: str
    destination: str | None
    attempt: int
    since_s: float | None  # since it was ordered
    reason: str
    flight: Flight | None = None  # move: bytes, and time left
    suspended: Standstill | None = None  # move: its guest stands still right now


class ClassAtRest(_View):
    """A class of guests that is not moved any more, and whom it concerns."""

    guest_class: str
    guests: tuple[str, ...]
    hosts: tuple[str, ...]
    owners: tuple[str, ...]
    hold: Hold | None = None  # why, since when and by whom
    waiting: tuple[str, ...] = ()  # hosts of the late wave that carry some of them

    @property
    def words(self) -> str:
        """The class, since when and why it rests, whom it concerns and which hosts wait for it."""
        hold = self.hold
        since = f" since {hold.since:%Y-%m-%d %H:%M} UTC by {hold.by}" if hold else ""
        why = f"; why: {hold.reason}" if hold else ""
        waiting = f"; hosts that wait: {', '.join(self.waiting)}" if self.waiting else ""
        owners = ", ".join(self.owners) or "unknown"
        return (
            f"class {self.guest_class} is not moved{since}: {len(self.guests)} guests on "
            f"{', '.join(self.hosts) or 'no host'}; owners: {owners}{waiting}{why}"
        )


class WaveView(_View):
    """How far a wave has come."""

    number: int
    hosts: int
    fixed: int
    rebooting: int
    draining: int
    blocked: int
    moves: int
    moves_done: int
    late: bool = False  # behind all others, until a person says more: see its holds


class Progress(_View):
    """A rollout at a glance. Times in seconds; `left_s` is None while nothing can be told."""

    id: str
    advisory: str
    state: RolloutState
    hold: Hold | None
    holds: tuple[HeldView, ...] = ()  # of the rollout, its waves and its hosts
    left_out: tuple[HeldView, ...] = ()  # hosts that it goes on without
    unmonitored: tuple[HeldView, ...] = ()  # guests that xl watches no more; this holds nothing
    generation: int
    elapsed_s: float
    left_s: float | None
    outlook: Outlook | None = None  # the controller's newest forecast
    hosts: tuple[HostRecord, ...]
    waves: tuple[WaveView, ...]
    in_flight: tuple[StepView, ...]
    held: tuple[StepView, ...]
    crashed: tuple[GuestRecord, ...]
    given_up: tuple[GuestRecord, ...]
    down: tuple[str, ...]  # guests that are shut down right now
    moves_done: int
    moves_planned: int  # done, and still to do by the newest plan
    moves_lower_bound: int
    planned_makespan_s: float
    makespan_lower_bound_s: float
    hosts_fixed: int
    hosts_to_fix: int
    quarantined: tuple[ClassAtRest, ...] = ()
    blackouts: Blackouts = Blackouts()  # of the moves that are over


def progress(book: Book, now: datetime, flights: Mapping[str, Flight] | None = None) -> Progress:
    """What anybody is shown of a rollout."""
    rollout = book.rollout
    done, left = moves_done(book), _moves_left(book)
    end = rollout.ended_at or now
    elapsed_s = (end - rollout.created_at).total_seconds()
    states = Counter(host.state for host in book.hosts.values())
    return Progress(
        id=rollout.id,
        advisory=rollout.advisory,
        state=rollout.state,
        hold=rollout.hold,
        holds=holds(book),
        left_out=left_out(book),
        unmonitored=unmonitored(book),
        generation=rollout.generation,
        elapsed_s=elapsed_s,
        left_s=_left_s(book, now),
        outlook=_outlook(book),
        hosts=tuple(book.hosts[name] for name in sorted(book.hosts)),
        waves=waves(book),
        in_flight=tuple(_view(step, now, flights) for step in book.running()),
        held=tuple(_view(step, now) for step in _held(book)),
        crashed=tuple(g for g in _guests(book) if g.crashed),
        given_up=tuple(g for g in _guests(book) if g.evacuation),
        down=tuple(g.name for g in _guests(book) if g.down),
        moves_done=done,
        moves_planned=done + left,
        moves_lower_bound=rollout.moves_lower_bound,
        planned_makespan_s=rollout.planned_makespan_s,
        makespan_lower_bound_s=rollout.makespan_lower_bound_s,
        hosts_fixed=states[HostState.FIXED],
        hosts_to_fix=len(book.hosts) - states[HostState.UNAFFECTED],
        quarantined=tuple(_at_rest(book, name) for name in rollout.quarantined),
        blackouts=blackouts(book.steps.values()),
    )


def _left_s(book: Book, now: datetime) -> float | None:
    seen = book.rollout.outlook
    if seen is not None and book.rollout.state not in ENDED and seen.fresh(now):
        return seen.left_s(now)[0]
    return left_s(book, now)


def _outlook(book: Book) -> Outlook | None:
    """The newest forecast, with what holds the rollout now: a pause may be younger than it."""
    seen = book.rollout.outlook
    if seen is None or book.rollout.state in ENDED:
        return None
    return seen.model_copy(update={"assuming": assumed(book)})


def _at_rest(book: Book, name: str) -> ClassAtRest:
    guests = [guest for guest in _guests(book) if guest.quarantine == name]
    hosts = {guest.host for guest in guests}
    return ClassAtRest(
        guest_class=name,
        guests=tuple(guest.name for guest in guests),
        hosts=tuple(sorted(hosts)),
        owners=tuple(sorted({guest.owner for guest in guests if guest.owner})),
        hold=book.rollout.quarantines.get(name),
        waiting=tuple(sorted(late_hosts(book) & hosts)),
    )


def _guests(book: Book) -> list[GuestRecord]:
    return [book.guests[name] for name in sorted(book.guests)]


ARRIVED = frozenset({"moved", "crashed"})


def moves_done(book: Book) -> int:
    """Live migrations that were carried out, those of guests that died of it included."""
    steps = (step for step in book.steps.values() if step.kind is Kind.MOVE)
    return sum(step.state is StepState.DONE and step.outcome in ARRIVED for step in steps)


def _moves_left(book: Book) -> int:
    return sum(book.steps[name].kind is Kind.MOVE for name in book.unfinished)


def _held(book: Book) -> list[Step]:
    waiting = (book.steps[name] for name in sorted(book.unfinished))
    return [step for step in waiting if step.held_since is not None]


def _view(step: Step, now: datetime, flights: Mapping[str, Flight] | None = None) -> StepView:
    since = step.started_at or step.ordered_at
    return StepView(
        id=step.id,
        kind=step.kind,
        state=step.state,
        wave=step.wave,
        guest=step.guest,
        host=step.host,
        destination=step.destination,
        attempt=step.attempt,
        since_s=(now - since).total_seconds() if since else None,
        reason=step.reason,
        flight=(flights or {}).get(step.id),
        suspended=standstill(step, now),
    )


def waves(book: Book) -> tuple[WaveView, ...]:
    """Each wave of the newest plan, with what earlier plans did for its hosts."""
    moves: Counter[int] = Counter()
    moves_ended: Counter[int] = Counter()
    for step in book.steps.values():
        if step.kind is Kind.MOVE and step.state not in (StepState.SKIPPED, StepState.FAILED):
            moves[step.wave] += 1
            moves_ended[step.wave] += step.state is StepState.DONE
    numbers = {host.wave for host in book.hosts.values() if host.wave is not None}
    return tuple(_wave(book, n, moves[n], moves_ended[n]) for n in sorted(numbers))


def _wave(book: Book, number: int, moves: int, moves_ended: int) -> WaveView:
    states = Counter(host.state for host in book.hosts.values() if host.wave == number)
    return WaveView(
        number=number,
        hosts=states.total(),
        fixed=states[HostState.FIXED],
        rebooting=states[HostState.REBOOTING],
        draining=states[HostState.DRAINING],
        blocked=states[HostState.BLOCKED],
        moves=moves,
        moves_done=moves_ended,
        late=number in book.waves and book.waves[number].late,
    )


def left_s(book: Book, now: datetime) -> float | None:
    """Time left at the pace so far: what the plan still has before it, times real over planned.

    The plan's clock stands where the plan would have ended as many steps as have really ended.
    """
    if book.rollout.state in ENDED:
        return 0.0
    newest = [s for s in book.steps.values() if s.generation == book.rollout.generation]
    ended = sum(step.state is StepState.DONE for step in newest)
    began = min((step.ordered_at for step in newest if step.ordered_at), default=None)
    if not ended or began is None:
        return None
    ends_s = sorted(step.planned_end_s for step in newest)
    reached_s = ends_s[ended - 1]
    if reached_s <= 0:
        return None
    return (ends_s[-1] - reached_s) * (now - began).total_seconds() / reached_s
