"""The fleet as its hosts reported it last; a report that has not changed costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agents.wire import GuestSeen, Report
from scheduler.desk import Desk
from scheduler.inventory import Inventory, InventoryError, load_inventory
from scheduler.store import Store

STALE_AFTER_S = 60.0

Place = tuple[str, str, int]
"""A guest's name, the host that shows it, and its domain there: by this guests are sorted."""


class Clock(Protocol):
    """The machine's clocks."""

    def now(self) -> datetime:
        """The time of day, with its zone."""

    def monotonic(self) -> float:
        """Seconds that only grow."""


@dataclass(frozen=True)
class FleetView:
    """The hosts' newest reports, and which host shows which guest."""

    inventory: Inventory
    hosts: tuple[str, ...]
    reports: dict[str, Report]
    trouble: dict[str, str]  # host -> why its report is no ground for anything
    guests: tuple[tuple[str, GuestSeen], ...]  # (host, guest), by guest's name
    where: dict[str, tuple[int, ...]]  # guest's name -> places in `guests`
    owners: dict[str, str]  # host -> the rollout that may touch it
    guest_owners: dict[str, str]  # guest -> its owner, where the inventory names one
    guest_classes: dict[str, str]  # the same of its class

    def owner_of(self, guest: str) -> str:
        """Who is asked about a guest; empty where the inventory does not say."""
        return self.guest_owners.get(guest, "")

    def as_classed(self, guest: GuestSeen) -> GuestSeen:
        """The guest with the class by which it is judged: the inventory's word goes first."""
        named = self.guest_classes.get(guest.name)
        return guest.model_copy(update={"guest_class": named}) if named else guest


class GuestIndex:
    """Every guest that is shown, sorted. What it hands out is never changed."""

    def __init__(self) -> None:
        self._found: dict[Place, tuple[str, GuestSeen]] = {}
        self._of: dict[str, list[Place]] = {}  # by host
        self._sorted: list[Place] | None = []
        self._where: dict[str, tuple[int, ...]] = {}

    def take(self, host: str, guests: Iterable[GuestSeen]) -> None:
        """What this host shows now."""
        shown = {(guest.name, host, guest.domid): (host, guest) for guest in guests}
        gone = [place for place in self._of.get(host, ()) if place not in shown]
        if gone or len(shown) != len(self._of.get(host, ())):
            self._sorted = None
        for place in gone:
            del self._found[place]
        self._found.update(shown)
        self._of[host] = list(shown)

    def guests(self) -> tuple[tuple[str, GuestSeen], ...]:
        """(host, guest), by guest's name and host."""
        return tuple(map(self._found.__getitem__, self._places()))

    def where(self) -> dict[str, tuple[int, ...]]:
        """Guest's name -> its places in `guests`; more than one where several hosts show it."""
        self._places()
        return self._where

    def _places(self) -> list[Place]:
        if self._sorted is None:
            self._sorted = sorted(self._found)
            where: dict[str, list[int]] = defaultdict(list)
            for number, (name, _, _) in enumerate(self._sorted):
                where[name].append(number)
            self._where = {name: tuple(places) for name, places in where.items()}
        return self._sorted


class FleetReader:
    """Reads reports through a Desk, and takes up a new inventory when there is one."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._desk = Desk(store.client, Inventory(), clock.monotonic, STALE_AFTER_S)
        self._raw: bytes | None = None
        self._inventory = Inventory()
        self._index = GuestIndex()
        self._guest_owners: dict[str, str] = {}
        self._guest_classes: dict[str, str] = {}

    def read(self, before: FleetView | None) -> FleetView:
        """The newest view; the old one where nothing has changed."""
        raw = self._store.inventory()
        if raw != self._raw:
            self._take(raw)
            before = None
        changed = self._desk.refresh()
        for host in self._desk.hosts if before is None else changed:
            report = self._desk.newest(host)
            self._index.take(host, report.guests if report else ())
        owners = self._store.owners()
        if before is not None and not changed and owners == before.owners:
            return before
        return self._view(owners)

    def _take(self, raw: bytes | None) -> None:
        try:
            self._inventory = load_inventory(raw) if raw else Inventory()
        except InventoryError:
            # `xenroll inventory apply` refuses such a one; who wrote it past that sees no hosts.
            self._inventory = Inventory()
        self._desk.take_inventory(self._inventory)
        self._index = GuestIndex()
        guests = self._inventory.guests
        self._guest_owners = {g.name: g.owner for g in guests if g.owner}
        self._guest_classes = {g.name: g.guest_class for g in guests if g.guest_class}
        self._raw = raw

    def _view(self, owners: dict[str, str]) -> FleetView:
        hosts = tuple(sorted(self._desk.hosts))
        reports = {host: report for host in hosts if (report := self._desk.newest(host))}
        return FleetView(
            inventory=self._inventory,
            hosts=hosts,
            reports=reports,
            trouble={host: why for host in hosts if (why := self._trouble(host, reports))},
            guests=self._index.guests(),
            where=self._index.where(),
            owners=owners,
            guest_owners=self._guest_owners,
            guest_classes=self._guest_classes,
        )

    def _trouble(self, host: str, reports: dict[str, Report]) -> str:
        said = self._desk.report(host)
        known = reports.get(host)
        if isinstance(said, str) and (known is None or "cannot be read" in said):
            return said
        return f"{host}: {known.trouble[0]}" if known and known.trouble else ""
