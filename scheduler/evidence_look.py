"""Gathers the evidence on one guest: asks every host to look, twice. Nothing here acts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agents.copies import base_name
from agents.wire import Kind, Report
from scheduler.desk import Desk
from scheduler.evidence import Evidence, Tried, gather, tried_of
from scheduler.inventory import Inventory
from scheduler.launch import look_at
from scheduler.store import Store


class NoGuest(Exception):
    """No host shows a guest of this name, and no rollout has moved one."""


@dataclass(frozen=True)
class Waits:
    """The longest wait for a host's look, and the time between the two looks, in seconds."""

    look_s: float
    apart_s: float


def evidence(store: Store, inventory: Inventory, name: str, waits: Waits) -> Evidence:
    """Every copy of a guest on every host. Takes as long as the hosts do; raises NoGuest."""
    desk = Desk(store.client, inventory, time.monotonic, waits.look_s)
    desk.refresh()
    if not _heard_of(desk, name) and _tried(store, desk, name) is None:
        raise NoGuest(name)  # every host has reported, and none has it: nobody has to look
    before, _ = _look(store, inventory, desk, waits)
    time.sleep(waits.apart_s)
    after, unseen = _look(store, inventory, desk, waits)
    desk.refresh()
    tried = _tried(store, desk, name)
    found = gather(name, before, after, unseen, tried)
    if not found.copies and tried is None and not unseen:
        raise NoGuest(name)
    return found


def _heard_of(desk: Desk, name: str) -> bool:
    """Whether a host shows a guest or a rest of this name, or a host has not reported at all."""
    for host in desk.hosts:
        report = desk.newest(host)
        if report is None or report.trouble:
            return True
        names = [guest.name for guest in report.guests]
        names += [rest.name for rest in report.leftovers]
        if name in names or name in map(base_name, names):
            return True
    return False


def _look(
    store: Store, inventory: Inventory, desk: Desk, waits: Waits
) -> tuple[dict[str, Report], list[str]]:
    """A fresh look at every host that answers; why the others do not."""
    reports, missing = look_at(store.client, inventory, desk.hosts, waits.look_s)
    troubled = [f"{report.host}: {report.trouble[0]}" for report in reports if report.trouble]
    return {r.host: r for r in reports if not r.trouble}, [*missing.values(), *troubled]


def _tried(store: Store, desk: Desk, name: str) -> Tried | None:
    """The newest move of this guest, of any rollout that is still kept."""
    for rollout_id in reversed(store.ids()):
        steps = store.book(rollout_id).steps.values()
        moves = [s for s in steps if s.kind is Kind.MOVE and s.guest == name and s.ordered_at]
        if moves:
            step = max(moves, key=lambda s: str(s.ordered_at))
            attempt = f"{rollout_id}-{step.id}-a{step.attempt}"
            return tried_of(rollout_id, step, desk.attempt(step.host, attempt))
    return None
