"""Hosts that are silent for too long are set aside: the rest goes on without them. Pure.

Nobody knows what such a host does, so nothing is planned onto it or off it, and nothing is claimed
of its guests. A move between it and another host keeps its place in every new plan, with the room
that it takes at both ends, until looks at both can tell how it ended. When the host is heard again
it is planned in. What cannot wait for that stops the rollout: guests that were shut down there.
"""

from __future__ import annotations

from datetime import timedelta

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.limits import Limits
from scheduler.outcomes import describe, stop
from scheduler.rollout import HostRecord, HostState, RolloutState, StepState
from scheduler.waves import Hold

GOES_ON = frozenset({RolloutState.RUNNING, RolloutState.REPLANNING, RolloutState.ABORTING})
UNTOUCHED = frozenset({HostState.WAITING, HostState.DRAINING})


def tend_silent(draft: Draft, limits: Limits) -> None:
    """Set hosts aside that have been silent for `settle_limit_s`; take those back that report."""
    if draft.rollout.state not in GOES_ON:
        return
    for name in draft.book.hosts:
        host = draft.host(name)
        if host.aside and not host.silent:
            draft.put_host(name, aside=None)
            draft.put_rollout(replan_for=f"{name} reports again")
            _give_time(draft, name)
        elif not host.aside and _for_too_long(draft, host, limits):
            _set_aside(draft, host)


def _for_too_long(draft: Draft, host: HostRecord, limits: Limits) -> bool:
    if not host.silent or host.silent_since is None or host.expected_silent:
        return False
    if host.left_out and not any(host.name in step.hosts for step in draft.book.running()):
        return False  # nothing hangs on it
    return draft.now - host.silent_since >= timedelta(seconds=limits.settle_limit_s)


def _set_aside(draft: Draft, host: HostRecord) -> None:
    reason = f"{host.silent}: set aside, nothing is planned onto it or off it until it reports"
    since = host.silent_since or draft.now
    draft.put_host(host.name, aside=Hold(reason=reason, since=since, by="xenroll"))
    draft.say("aside", reason, host=host.name)
    doubt = _cannot_wait(draft, host.name)
    if doubt:
        stop(draft, doubt)
    if draft.book.open_at.get(host.name):
        draft.put_rollout(replan_for=f"{host.name} was set aside")


def _give_time(draft: Draft, name: str) -> None:
    """What could not be told while it was silent gets its whole time now that it can."""
    for step in draft.book.running():
        if name in step.hosts and step.held_since is not None:
            draft.put_step(draft.step(step.id), held_since=draft.now)


def _cannot_wait(draft: Draft, name: str) -> str:
    """Why nothing else goes on before a person has looked; empty: it can."""
    guests = (draft.guest(one.name, one.host) for one in draft.book.guests.values())
    down = sorted(guest.name for guest in guests if guest.down and guest.host == name)
    if down:
        return f"{name} is silent, and {', '.join(down)} was shut down there"
    for step in draft.book.running():
        unclear = step.kind in (Kind.STOP, Kind.START, Kind.MEND) or (
            step.state is StepState.MENDING
        )
        if name in step.hosts and unclear:
            return f"{name} is silent, and nobody can tell how this ends: {describe(step)}"
    return ""


def awaited(draft: Draft) -> bool:
    """Whether hosts that still have to be rebooted are waited for: nothing else is left to do."""
    hosts = (draft.host(name) for name in draft.book.hosts)
    return any(one.aside and not one.left_out and one.state in UNTOUCHED for one in hosts)
