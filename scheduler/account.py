"""The end-of-run account: what moved how often, what is held and why, what crashed, how long.

`xenroll rollout report --json` prints it; it can be asked for at any moment of a rollout. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from agents.wire import Kind
from scheduler.blackouts import Blackouts, blackouts
from scheduler.book import Book
from scheduler.progress import moves_done
from scheduler.rollout import GuestRecord, HostRecord, HostState, RolloutState


class Account(BaseModel):
    """What a rollout came to. Times in seconds by the wall clock."""

    model_config = ConfigDict(frozen=True)

    id: str
    advisory: str
    state: RolloutState
    took_s: float
    hosts: dict[str, int]  # by state
    ways: dict[str, int]  # live patch, reboot, nothing: how many hosts
    microcode: dict[str, tuple[str, str]]  # host -> revision before and after its reboot
    blocked: dict[str, str]  # host -> why
    moves: int
    moves_lower_bound: int
    moves_of_guests: dict[int, int]  # number of moves -> how many guests
    attempts: int  # that were started, of moves
    stayed: int  # attempts after which the guest was where it had been
    restarted: tuple[str, ...]
    given_up: dict[str, str]  # guest -> why it was not moved
    crashed: dict[str, str]
    down: tuple[str, ...]  # shut down and not started again
    plans: int
    blackouts: Blackouts = Blackouts()  # of the moves
    planned_makespan_s: float
    makespan_lower_bound_s: float


def account(book: Book, now: datetime) -> Account:
    """Add up a rollout."""
    rollout = book.rollout
    guests = [book.guests[name] for name in sorted(book.guests)]
    moves = [step for step in book.steps.values() if step.kind is Kind.MOVE]
    return Account(
        id=rollout.id,
        advisory=rollout.advisory,
        state=rollout.state,
        took_s=((rollout.ended_at or now) - rollout.created_at).total_seconds(),
        hosts=dict(Counter(str(host.state) for host in book.hosts.values())),
        ways=dict(Counter(str(host.choice.way) for host in book.hosts.values() if host.choice)),
        microcode={h.name: pair for h in book.hosts.values() if any(pair := microcode(h))},
        blocked={h.name: h.reason for h in book.hosts.values() if h.state is HostState.BLOCKED},
        moves=moves_done(book),
        moves_lower_bound=rollout.moves_lower_bound,
        moves_of_guests=dict(sorted(Counter(g.moves for g in guests if g.moves).items())),
        attempts=sum(step.tries for step in moves),
        stayed=sum(guest.stayed for guest in guests),
        restarted=tuple(g.name for g in guests if g.restarts),
        given_up=_why(g for g in guests if g.evacuation),
        crashed=_why(g for g in guests if g.crashed),
        down=tuple(g.name for g in guests if g.down),
        plans=rollout.generation,
        blackouts=blackouts(moves),
        planned_makespan_s=rollout.planned_makespan_s,
        makespan_lower_bound_s=rollout.makespan_lower_bound_s,
    )


def microcode(host: HostRecord) -> tuple[str, str]:
    """The revision before a host's reboot and after it; empty texts where it is not known."""
    if host.before is None or host.after is None:
        return "", ""
    return host.before.microcode, host.after.microcode


def _why(guests: Iterable[GuestRecord]) -> dict[str, str]:
    return {guest.name: guest.reason for guest in guests}
