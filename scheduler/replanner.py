"""The shell around planning the rest: asks for looks, plans, keeps documents, says the event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agents.wire import Report
from scheduler.advance import Doubted, Event, Replanned
from scheduler.book import Book
from scheduler.fleet_view import FleetDoubt, Scope
from scheduler.in_flight import hosts_to_see, in_flight, only_frozen
from scheduler.inventory import Inventory
from scheduler.limits import Limits
from scheduler.looks import Clock, Looks
from scheduler.planning import PlanBroken
from scheduler.replanning import Announced, Fresh, NothingLeft, Seen, plan_rest
from scheduler.store import Store
from scheduler.waiting import OnlySilentLeft


@dataclass
class Replanner:
    """Plans the rest of rollouts; what it remembers is only when to try again."""

    store: Store
    looks: Looks
    clock: Clock
    limits: Limits
    fresh: Fresh
    log: Callable[[str], None]
    _next_s: dict[str, float] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def event(self, book: Book, inventory: Inventory, scope: Scope) -> Event | None:
        """The new plan, or why there can be none; None: not yet. Raises redis errors."""
        name = book.rollout.id
        if self.clock.monotonic() < self._next_s.get(name, float("-inf")):
            return None
        purpose, hosts = f"plan {name}", hosts_to_see(book, in_flight(book))
        reports = self._seen(purpose, hosts)
        if isinstance(reports, str):
            # A host that is silent for so long is set aside (`scheduler.aside`): not waited for.
            limit_s = self.limits.settle_limit_s + 2 * self.limits.stale_after_s
            too_old = self.looks.age_s(purpose) > limit_s
            return self._doubt(book, reports) if too_old else None
        self.looks.done(purpose)
        try:
            return self._planned(book, reports, inventory, scope)
        except NothingLeft as left:
            self._wait(book, str(left))
            return OnlySilentLeft(self.clock.now()) if only_frozen(book) else None
        except (FleetDoubt, PlanBroken) as doubt:
            words = "; ".join(getattr(doubt, "problems", [str(doubt)])[:3])
            if not book.under_way:
                return self._doubt(book, words)
            self._wait(book, words)
            return None

    def rest(self, book: Book) -> None:
        """No plan is wanted now: what was asked for is no answer when one is wanted again."""
        self.looks.done(f"plan {book.rollout.id}")

    def _planned(
        self, book: Book, reports: list[Report], inventory: Inventory, scope: Scope
    ) -> Event:
        name, now = book.rollout.id, self.clock.now()
        announced = Announced(
            plan=self.store.plan_document(name, book.rollout.generation),
            fleet=self.store.fleet_document(name, book.rollout.generation),
        )
        seen = Seen(reports, self._unheard(book), inventory)
        planned, document = plan_rest(book, seen, scope, now, announced, self.fresh)
        # Whoever dies after this line plans anew: the rollout's head still names the old plan.
        self.store.save_plan(name, book.rollout.generation + 1, planned, document)
        self._said.pop(name, None)
        return Replanned(now, planned)

    def _unheard(self, book: Book) -> list[Report]:
        """What hosts showed last that were set aside since."""
        aside = [host.name for host in book.hosts.values() if host.aside and not host.left_out]
        found = (self.looks.last(name) for name in aside)
        return [report for report in found if report is not None]

    def _seen(self, purpose: str, hosts: tuple[str, ...]) -> list[Report] | str:
        """Fresh reports of all these hosts, or why they lack.

        A host that came back while others were still to answer was looked at when its reboot was
        settled, which is after this was asked for.
        """
        answered = self.looks.fresh(purpose, hosts)
        newest = {host: self.looks.newest(host) for host in hosts}
        silent = [why for why in newest.values() if isinstance(why, str)]
        if answered is None or silent:
            return "; ".join(silent[:3]) or "not every host has answered"
        return [report for report in newest.values() if isinstance(report, Report)]

    def _wait(self, book: Book, words: str) -> None:
        """What is under way may be why: look again in a while, and when it has ended at the end."""
        name = book.rollout.id
        self._next_s[name] = self.clock.monotonic() + self.limits.gate_backoff_s
        if self._said.get(name) != words:
            self.log(f"{name}: cannot be planned anew around what is under way: {words}")
        self._said[name] = words

    def _doubt(self, book: Book, words: str) -> Event:
        self.looks.done(f"plan {book.rollout.id}")
        return Doubted(self.clock.now(), f"the rest cannot be planned: {words}")
