"""Domains of a host that are no running guests, and the kinds of guests that it can run. Pure."""

from __future__ import annotations

from agents.copies import INCOMING, MIGRATEDAWAY, NO_NAME, Condition, base_name, condition
from agents.wire import Domain, Leftover, LeftoverKind


def leftovers(domains: tuple[Domain, ...]) -> tuple[Leftover, ...]:
    """Every domain that is no running guest, by what it is left from."""
    found = ((leftover_kind(domain), domain) for domain in domains if domain.domid != 0)
    return tuple(
        Leftover(
            kind=kind,
            domid=domain.domid,
            name=base_name(domain.name),
            uuid=domain.uuid,
            state=domain.state,
            cpu_time_s=domain.cpu_time_s,
            memory_mib=domain.memory_mib,
        )
        for kind, domain in found
        if kind is not None
    )


def leftover_kind(domain: Domain) -> LeftoverKind | None:
    """None for a guest that runs, is paused, or was shut down in an orderly way."""
    found = condition(domain.state)
    if domain.name == NO_NAME or found is Condition.DYING:
        return LeftoverKind.ZOMBIE
    if domain.name.endswith(INCOMING):
        return LeftoverKind.INCOMING
    if domain.name.endswith(MIGRATEDAWAY):
        return LeftoverKind.MIGRATEDAWAY
    kinds = {
        Condition.CRASHED: LeftoverKind.CRASHED,
        Condition.SUSPENDED: LeftoverKind.SUSPENDED,
    }
    return kinds.get(found)


def caps_offers(virt_caps: tuple[str, ...]) -> tuple[str, ...]:
    """What kinds of guests the hypervisor runs: PVH needs hardware and nested paging."""
    found = [cap for cap in ("pv", "hvm", "shadow", "hap") if cap in virt_caps]
    return (*found, "pvh") if {"hvm", "hap"} <= set(found) else tuple(found)
