"""Hosts that the rollout goes on without: what waits for them is taken off the plan. Pure.

What runs ends. A guest that was shut down for a reboot that will not happen comes back first
(`scheduler.advance`); then the host is opened. Guests stay where they are.
"""

from __future__ import annotations

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.rollout import (
    UNDER_WAY,
    HostRecord,
    HostState,
    RolloutState,
    Step,
    StepState,
)

OVER = frozenset({HostState.FIXED, HostState.UNAFFECTED, HostState.OPENED})


def leaving(draft: Draft) -> dict[str, HostRecord]:
    """Every host that was left out, by name."""
    hosts = (draft.host(name) for name in draft.book.hosts)
    return {host.name: host for host in hosts if host.left_out}


def leave(draft: Draft) -> None:
    """Go on without the hosts that were left out, planning the rest anew where it hangs on them."""
    hosts = leaving(draft)
    if not hosts:
        return
    if draft.rollout.state is RolloutState.RUNNING:
        _clear(draft, hosts)
    for host in hosts.values():
        if host.state is HostState.FIXED and host.closed:
            draft.put_host(host.name, closed=False, stopped=None)
        if host.state not in OVER and not _busy(draft, host.name):
            reason = host.left_out.reason if host.left_out else ""
            draft.put_host(host.name, HostState.OPENED, closed=False, reason=reason, stopped=None)
            said = "open again" if host.closed else "left as it is"
            draft.say("opened", f"{host.name} is {said}: {reason}", host=host.name)


def _clear(draft: Draft, hosts: dict[str, HostRecord]) -> None:
    waiting = [draft.step(name) for name in sorted(draft.book.unfinished)]
    waiting = [step for step in waiting if step.state is StepState.WAITING]
    gone = {step.id for step in waiting if _falls_away(draft, step, hosts)}
    hanging = [s for s in waiting if s.id not in gone and gone.intersection(s.needs)]
    if hanging:
        why = next(h.left_out for h in hosts.values() if h.left_out)
        draft.put_rollout(RolloutState.REPLANNING, hold=draft.held(why.reason, why.by))
        return
    for name in sorted(gone):
        step = draft.step(name)
        host = hosts.get(step.host) or hosts[step.destination or ""]
        reason = host.left_out.reason if host.left_out else ""
        draft.put_step(step, StepState.SKIPPED, reason=reason, ended_at=draft.now)


def _falls_away(draft: Draft, step: Step, hosts: dict[str, HostRecord]) -> bool:
    if step.kind in (Kind.MEND, Kind.RETUNE) or hosts.keys().isdisjoint(step.hosts):
        return False
    if step.kind is not Kind.START:
        return True
    # After a reboot that took place, or is under way, its guests are started as planned.
    needs = (draft.step(need).state for need in step.needs)
    return any(state is not StepState.DONE and state not in UNDER_WAY for state in needs)


def open_hosts(draft: Draft) -> None:
    """Nothing stays closed without a rollout; a host that lacks something keeps its reason."""
    for name in draft.book.hosts:
        host = draft.host(name)
        if host.closed:
            kept = host.state in (HostState.FIXED, HostState.BLOCKED)
            draft.put_host(name, None if kept else HostState.OPENED, closed=False)
            why = f", and still blocked: {host.reason}" if host.state is HostState.BLOCKED else ""
            draft.say("opened", f"{name} is open again{why}", host=name)


def _busy(draft: Draft, name: str) -> bool:
    """Whether something is still under way there, or one of its guests is down."""
    running = (draft.step(step.id) for step in draft.book.running())
    if any(name in step.hosts and step.state in UNDER_WAY for step in running):
        return True
    return any(
        draft.guest(g.name, g.host).down for g in draft.book.guests.values() if g.host == name
    )
