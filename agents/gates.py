"""The last checks on the host before a step starts, over a fresh look. Pure.

Each gate returns why the step must not start, as a sentence, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.copies import (
    Condition,
    Role,
    base_name,
    condition,
    copies,
    role,
)
from agents.guest_facts import needs, obstacles, targets
from agents.host_files import GuestConfig
from agents.settings import Settings
from agents.settle_move import RESUME_SINCE
from agents.tuning import Place
from agents.wire import (
    Attempt,
    BootStart,
    Domain,
    Kind,
    MendAction,
    Obstacle,
    ObstacleCode,
    Order,
    Tuning,
)

ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:_-]{0,253}[A-Za-z0-9])?")
"""xl hands the address to a shell and to ssh: nothing that either could take for more."""


@dataclass(frozen=True)
class Sight:
    """What this host shows right before a step; only what its kind needs is filled in."""

    domains: tuple[Domain, ...]
    boot_id: str
    running: tuple[Attempt, ...] = ()  # other attempts that run here
    config: dict[str, Any] | None = None  # of the guest, from `xl list -l`
    virt_caps: tuple[str, ...] = ()
    xen: str = ""
    start_from: GuestConfig | None = None
    receiving: int = 0
    boot_starts: tuple[BootStart, ...] = ()
    stopped_here: frozenset[str] = frozenset()  # names of guests that this rollout shut down here
    auto_links: tuple[tuple[str, Path], ...] = ()  # guests that would start at boot, their files
    refuses_suspend: bool = False  # the guest's own kernel says so
    tuning: Tuning | None = None  # of the guest
    untold: str = ""  # why its tuning is not known
    place: Place | None = None


PATCHES = frozenset({Kind.LIVEPATCH, Kind.REVERT})


def busy(order: Order, sight: Sight) -> str | None:
    """Another attempt is at work on this guest or on the whole host."""
    for other in sight.running:
        if order.kind is Kind.REBOOT or other.kind is Kind.REBOOT:
            return f"attempt {other.attempt_id} ({other.kind}) runs on this host"
        if order.kind in PATCHES and other.kind in PATCHES:
            return f"attempt {other.attempt_id} ({other.kind}) is at work on its live patches"
        if order.guest_uuid is not None and other.guest_uuid == order.guest_uuid:
            return f"attempt {other.attempt_id} ({other.kind}) is at work on {order.guest}"
    return None


def the_guest(order: Order, sight: Sight) -> tuple[Domain | None, str]:
    """The one domain that is the ordered guest, or why there is none."""
    found = [d for d in sight.domains if d.uuid == order.guest_uuid]
    if not found:
        return None, f"{order.guest} is not on this host"
    if len(found) > 1:
        return None, f"{len(found)} domains here have the UUID of {order.guest}"
    if found[0].name != order.guest:
        return None, f"{order.guest} is named {found[0].name} here"
    if order.domid is not None and found[0].domid != order.domid:
        return None, f"{order.guest} is domain {found[0].domid}, not {order.domid}"
    return found[0], ""


def leftover_of(order: Order, sight: Sight) -> str | None:
    """A domain that an earlier migration of this guest, or of its namesake, left here."""
    for domain in sight.domains:
        if role(domain.name, order.guest or "") in (Role.INCOMING, Role.AWAY):
            return f"domain {domain.domid} {domain.name} is left here from an earlier migration"
    return None


def runs(domain: Domain) -> str | None:
    """None where the domain runs, else what it does."""
    found = condition(domain.state)
    return None if found is Condition.RUNS else f"{domain.name} is {found.value}"


def move(order: Order, sight: Sight, settings: Settings) -> str | None:
    """The guest runs here, nothing is left of it, and nothing makes it unmigratable."""
    if not ADDRESS.fullmatch(order.destination_address or ""):
        return f"{order.destination_address!r} is no address to migrate to"
    domain, reason = the_guest(order, sight)
    if domain is None:
        return reason
    first = leftover_of(order, sight) or runs(domain)
    if first or sight.config is None:
        return first or f"the configuration of {order.guest} cannot be read"
    changed = changed_since(order, sight.config, settings)
    if changed:
        return changed
    if sight.refuses_suspend:
        return f"{order.guest} cannot be moved: its kernel says that it cannot suspend"
    for obstacle in obstacles(sight.config, domain, sight.virt_caps, sight.xen, settings):
        if _forbids_move(obstacle):
            return f"{order.guest} cannot be moved: {obstacle.text}"
    return None


def changed_since(order: Order, config: dict[str, Any], settings: Settings) -> str | None:
    """It has a disk, or needs something, that nobody looked for at the destination."""
    disks = set(targets(config)) - set(order.guest_disks or ())
    if order.guest_disks is not None and disks:
        shown = ", ".join(sorted(map(str, disks)))
        return f"{order.guest} has disks that were not looked for on {order.destination}: {shown}"
    lacking = set(needs(config, settings)) - set(order.guest_needs or ())
    if order.guest_needs is not None and lacking:
        shown = ", ".join(sorted(lacking))
        return f"{order.guest} needs {shown} now, which {order.destination} was not asked for"
    return None


def _forbids_move(obstacle: Obstacle) -> bool:
    return obstacle.lasting or obstacle.code is ObstacleCode.BALLOONING


def stop(order: Order, sight: Sight, settings: Settings) -> str | None:
    """The guest runs here and can hear the request."""
    domain, reason = the_guest(order, sight)
    return reason if domain is None else (leftover_of(order, sight) or runs(domain))


def start(order: Order, sight: Sight, settings: Settings) -> str | None:
    """There is a file to start it from, and nothing here has its UUID or one of its names."""
    if sight.start_from is None:
        return f"no configuration of {order.guest} was found in {', '.join(settings.config_dirs)}"
    for domain in sight.domains:
        if domain.uuid == order.guest_uuid or base_name(domain.name) == order.guest:
            return f"domain {domain.domid} {domain.name} is already on this host"
    return None


def reboot(order: Order, sight: Sight, settings: Settings) -> str | None:
    """Nothing but dom0 is here, nothing is coming, and no guest would start by itself at boot."""
    if not order.boot_id or order.boot_id != sight.boot_id:
        return f"the boot to end is {order.boot_id}, but this one is {sight.boot_id}"
    for domain in sight.domains:
        if domain.domid != 0 and domain.name not in settings.service_domains:
            return f"domain {domain.domid} {domain.name} ({domain.state}) is still here"
    if sight.receiving:
        return f"{sight.receiving} migrations to this host are under way"
    return _boot_starts(order, sight)


def _boot_starts(order: Order, sight: Sight) -> str | None:
    for found in sight.boot_starts:
        if found.kind == "saved_image":
            return f"the saved image {found.text} would be restored at boot"
        expected = sight.stopped_here.union(order.moved_away)
        if found.kind == "autostart" and found.text not in expected:
            return f"{found.text} would start by itself at boot, and may run elsewhere"
        if found.kind == "service" and found.text != "xendomains":
            return f"the service {found.text} would start guests at boot: mask it"
    return None


def mend(order: Order, sight: Sight, settings: Settings) -> str | None:
    """The domain is still in the very state that the clean-up was decided on."""
    found = [
        copy
        for copy in copies(sight.domains, order.guest or "", order.guest_uuid or "")
        if copy.domid == order.domid
    ]
    if not found:
        return f"domain {order.domid} is not {order.guest} any more"
    copy = found[0]
    if order.mend is MendAction.DESTROY_SOURCE:
        rest = copy.role is Role.AWAY and copy.condition is Condition.SUSPENDED
        return None if rest else f"{copy}: no suspended rest of a migration"
    if order.mend is MendAction.DESTROY_INCOMING:
        return None if copy.never_ran else f"{copy}: it may have run"
    if order.mend is MendAction.UNPAUSE:
        fits = copy.role is Role.OWN and copy.condition is Condition.PAUSED and not copy.ran
        return None if fits else f"{copy}: not a paused guest that has just arrived"
    return _resume(copy.role, copy.condition, sight.xen, str(copy))


def _resume(copy_role: Role, found: Condition, xen: str, shown: str) -> str | None:
    parts = xen.split(".")
    if not all(p.isdigit() for p in parts) or tuple(map(int, parts)) < RESUME_SINCE:
        return f"Xen {xen} has no `xl resume`: a person has to"
    if found is not Condition.SUSPENDED or copy_role not in (Role.AWAY, Role.OWN):
        return f"{shown}: not a suspended source of a migration"
    return None


def retune(order: Order, sight: Sight, settings: Settings) -> str | None:
    """The guest lives here, as the very domain that arrived."""
    domain, reason = the_guest(order, sight)
    if domain is None:
        return reason
    found = condition(domain.state)
    if found not in (Condition.RUNS, Condition.PAUSED):
        return f"{domain.name} is {found.value}"
    return None if sight.tuning else f"nobody can tell how it is tuned: {sight.untold}"


Gate = Callable[[Order, Sight, Settings], str | None]

GATES: dict[Kind, Gate] = {
    Kind.MOVE: move,
    Kind.STOP: stop,
    Kind.START: start,
    Kind.REBOOT: reboot,
    Kind.MEND: mend,
    Kind.RETUNE: retune,
}
"""Live patches have no gate here: a payload is checked where it is read."""
