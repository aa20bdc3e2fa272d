"""What a rollout's records add up to for `/metrics`. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime

from agents.wire import Kind
from scheduler.limits import Limits
from scheduler.rollout import HostState, Step, StepState
from scheduler.service.views import RolloutView
from scheduler.text import plain

CLASS_CHARS = 80
NO_CLASS = "unknown"


@dataclass(frozen=True)
class RolloutFigures:
    """Sums over one rollout; times in seconds."""

    rollout: str
    outcomes: Counter[tuple[str, str]]  # (outcome, reason) of attempts at moves
    crashes: Counter[str]  # by guest class
    budget_left: float  # share of the crash budget
    move_s: list[float]
    drain_s: list[float]
    reboot_s: list[float]
    moves_of_guests: list[int]
    blocked_hosts: int
    planning_s: float | None


def figures(view: RolloutView, limits: Limits) -> RolloutFigures:
    """Add up a rollout."""
    book = view.book
    done = [step for step in book.steps.values() if step.state is StepState.DONE]
    crashed = [guest for guest in book.guests.values() if guest.crashed]
    budget = max(1, math.ceil(limits.crash_budget * book.rollout.planned_moves))
    return RolloutFigures(
        rollout=book.rollout.id,
        outcomes=_outcomes(view, done),
        crashes=Counter(class_label(guest.guest_class) for guest in crashed),
        budget_left=1 - len(crashed) / budget,
        move_s=[s for step in done if step.outcome == "moved" for s in _took_s(step)],
        drain_s=_drains_s(done),
        reboot_s=[s for step in done if step.kind is Kind.REBOOT for s in _took_s(step)],
        moves_of_guests=[guest.moves for guest in book.guests.values() if guest.moves],
        blocked_hosts=sum(h.state is HostState.BLOCKED for h in book.hosts.values()),
        planning_s=view.planning_s,
    )


def _outcomes(view: RolloutView, done: list[Step]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for step in done:
        if step.kind is Kind.MOVE and step.outcome:
            counts[(step.outcome, "crash" if step.outcome == "crashed" else "none")] += 1
    for guest in view.book.guests.values():
        if guest.stayed:
            counts[("stayed", _reason(guest.reason))] += guest.stayed
    return counts


def _reason(text: str) -> str:
    """One of a few words: a label must not grow with what commands print."""
    words = text.lower()
    for reason in ("suspend", "memory", "timeout", "connect"):
        if reason in words:
            return reason
    return "other"


def class_label(name: str | None) -> str:
    """A class of guests as a label's value: hosts and people name it."""
    return plain(name)[:CLASS_CHARS] if name else NO_CLASS


def _took_s(step: Step) -> list[float]:
    began = step.ordered_at if step.kind is Kind.REBOOT else step.started_at or step.ordered_at
    return [(step.ended_at - began).total_seconds()] if step.ended_at and began else []


def _drains_s(done: list[Step]) -> list[float]:
    """For each host that was rebooted: from its first move out to the order of the reboot."""
    first: dict[str, datetime] = {}
    reboots: dict[str, list[datetime]] = defaultdict(list)
    for step in done:
        if step.kind is Kind.MOVE and step.ordered_at:
            first[step.host] = min(step.ordered_at, first.get(step.host, step.ordered_at))
        elif step.kind is Kind.REBOOT and step.ordered_at:
            reboots[step.host].append(step.ordered_at)
    return [
        (ordered[0] - first[host]).total_seconds()
        for host, ordered in reboots.items()
        if host in first and ordered[0] >= first[host]
    ]
