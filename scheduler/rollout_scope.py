"""What a rollout is about, as its planner wants to know it. Pure."""

from __future__ import annotations

from planner.fleet import Policy
from scheduler.book import Book
from scheduler.fleet_view import Scope
from scheduler.inventory import Inventory
from scheduler.wave_holds import BACK


def scope_of(book: Book, inventory: Inventory) -> Scope:
    """What a rollout is about, for planning its rest under the limits that it began with."""
    rollout = book.rollout
    limits = {
        "max_hosts_away": max(1, rollout.max_hosts_away),
        "max_hosts_away_per_group": rollout.max_hosts_away_per_group,
        "max_moves_out_per_host": rollout.max_moves_out_per_host,
        "max_moves_in_per_host": rollout.max_moves_in_per_host,
        "xen_after": rollout.xen_after,
        # The canary has done its work: what is left needs none.
        "canary_hosts": 0 if _canary_done(book) else inventory.policy.canary_hosts,
    }
    policy = Policy.model_validate(inventory.policy.model_dump() | limits)
    patch = rollout.livepatch
    return Scope(rollout.fixed_builds, policy, book.guests, rollout.advisories, book.hosts, patch)


def _canary_done(book: Book) -> bool:
    """Whether the first wave of any plan so far is back, and with it a host that was rebooted."""
    first = {wave.generation: wave for _, wave in sorted(book.waves.items(), reverse=True)}
    hosts = [[book.hosts[name] for name in wave.hosts] for wave in first.values()]
    return any(
        any(host.reboots for host in wave) and all(host.state in BACK for host in wave)
        for wave in hosts
    )
