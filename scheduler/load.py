"""What is under way at once, and the limits that it is kept within. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.hooking import asks_first
from scheduler.livepatching import patched_at_once
from scheduler.rollout import HostRecord, HostState, Step


@dataclass
class Load:
    """What is under way: moves by source and destination, room they take, hosts that are away."""

    leaving: Counter[str] = field(default_factory=Counter)
    arriving: Counter[str] = field(default_factory=Counter)
    room_mib: dict[str, dict[str, int]] = field(default_factory=dict)  # destination -> guest
    away: int = 0
    patching: int = 0
    away_by_group: Counter[str | None] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    starting: set[str] = field(default_factory=set)  # hosts whose own guests come back first
    next_up: Counter[str] = field(default_factory=Counter)  # moves that wait for a turn, by source
    next_away: dict[str, str | None] = field(default_factory=dict)  # host -> group: guests down

    def add(self, step: Step, group: str | None) -> None:
        """Count a step that is under way, or just ordered."""
        self.touched.update(step.hosts)
        if step.kind is Kind.MOVE and step.destination:
            self.leaving[step.host] += 1
            self.arriving[step.destination] += 1
            self.room_mib.setdefault(step.destination, {})[step.guest or ""] = step.room_mib
        elif step.kind is Kind.REBOOT:
            self.next_away.pop(step.host, None)
            self.away += 1
            self.away_by_group[group] += 1
        elif step.kind is Kind.STOP:
            self.next_away[step.host] = group
        elif step.kind is Kind.LIVEPATCH:
            self.patching += 1
        elif step.kind is Kind.START:
            self.starting.add(step.host)


def load_of(draft: Draft, startable: Iterable[Step]) -> Load:
    """What is under way now, and which hosts' own guests come back before anything else."""
    load = Load()
    for guest in draft.book.guests.values():
        host = draft.book.hosts.get(guest.host) if guest.down else None
        if host is not None and _reboots_next(draft.host(host.name)):
            load.next_away[host.name] = host.group
    for step in draft.book.running():
        load.add(step, draft.host(step.host).group)
    load.starting.update(step.host for step in startable if step.kind is Kind.START)
    return load


def _reboots_next(host: HostRecord) -> bool:
    """Whether nothing but a limit keeps an empty host from its reboot."""
    held = host.paused or host.stopped or host.aside or host.left_out or host.silent
    return host.state is HostState.DRAINING and not held


def waits_its_turn(draft: Draft, step: Step, load: Load) -> bool:
    """Whether a limit keeps it back; the hook after a drain is asked before its reboot's turn."""
    if step.kind is Kind.REBOOT and step.host in load.starting:
        return True  # a guest that was shut down for it comes back first
    return _over_limit(draft, step, load) and not asks_first(draft, step)


def _over_limit(draft: Draft, step: Step, load: Load) -> bool:
    rollout = draft.rollout
    if step.kind is Kind.MOVE:
        return (
            load.leaving[step.host] >= rollout.max_moves_out_per_host
            or load.arriving[step.destination or ""] >= rollout.max_moves_in_per_host
            or step.destination in load.starting
        )
    if step.kind is Kind.LIVEPATCH:
        return load.patching >= patched_at_once(rollout)
    # No guest is shut down before its host may reboot at once; nobody else takes that place then.
    return step.kind in (Kind.STOP, Kind.REBOOT) and _no_place_away(draft, step.host, load)


def _no_place_away(draft: Draft, host: str, load: Load) -> bool:
    """Whether as many hosts are away, or about to be, as the policy grants: overall, by group."""
    rollout, group = draft.rollout, draft.host(host).group
    promised = [] if host in load.next_away else list(load.next_away.values())
    in_group = rollout.max_hosts_away_per_group
    return load.away + len(promised) >= rollout.max_hosts_away or (
        group is not None
        and in_group is not None
        and load.away_by_group[group] + promised.count(group) >= in_group
    )
