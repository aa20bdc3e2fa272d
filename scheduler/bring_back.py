"""Guests that were shut down for a reboot that will not happen now. Pure."""

from __future__ import annotations

from collections.abc import Collection

from agents.wire import Kind
from scheduler.deviation import is_cut_off
from scheduler.draft import Draft
from scheduler.forgotten import recall
from scheduler.gate import Sight
from scheduler.leaving import leaving
from scheduler.rollout import UNDER_WAY, HostState, RolloutState, Step


def bring_back(draft: Draft, sight: Sight) -> None:
    """Start every guest that was shut down for a reboot that will not happen now."""
    recall(draft, sight)
    hosts = _without_reboot(draft)
    for guest in list(draft.book.guests.values()):
        if guest.host not in hosts:
            continue
        if guest.down and not _comes_back_by_itself(draft, guest.name, guest.host):
            number = 1 + sum(s.guest == guest.name for s in draft.book.steps.values())
            draft.add_step(
                Step(
                    id=f"back-{draft.rollout.generation}-{number}-{len(draft.book.steps)}",
                    generation=draft.rollout.generation,
                    kind=Kind.START,
                    wave=draft.host(guest.host).wave or 1,
                    needs=(),
                    host=guest.host,
                    guest=guest.name,
                )
            )


def _without_reboot(draft: Draft) -> Collection[str]:
    state = draft.rollout.state
    if state in (RolloutState.REPLANNING, RolloutState.ABORTING):
        return draft.book.hosts
    return {*leaving(draft), *_stopped(draft)} if state is RolloutState.RUNNING else ()


def _stopped(draft: Draft) -> set[str]:
    """Hosts that a hook holds before their reboot: nobody knows for how long."""
    hosts = (draft.host(name) for name in draft.book.hosts)
    return {host.name for host in hosts if host.stopped and host.state is HostState.DRAINING}


def _comes_back_by_itself(draft: Draft, guest: str, host: str) -> bool:
    aborting = draft.rollout.state is RolloutState.ABORTING
    no_reboot = aborting or draft.host(host).left_out or host in _stopped(draft)
    for name in draft.book.unfinished:
        step = draft.step(name)
        under_way = step.state in UNDER_WAY
        if step.host != host:
            continue
        starts = under_way or not step.needs or name in draft.book.ready
        if step.kind is Kind.START and step.guest == guest and starts:
            return True
        if step.kind is Kind.REBOOT and (under_way or not (no_reboot or is_cut_off(draft, step))):
            return True
    return False
