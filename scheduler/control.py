"""The controller: gathers what happened, lets `advance` decide, writes it down, then acts.

One process leads (a lease in Redis keeps a second one waiting, the version of each rollout makes
even two of them harmless). It holds nothing that is not in Redis or on a host: killed at any
moment, the next one goes on from the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from traceback import format_exception
from typing import Protocol

import redis

from agents.keys import keys
from agents.settle import Outcome, Verdict
from agents.wire import Attempt, Order, Wanted
from scheduler import jobs
from scheduler.advance import (
    AttemptSeen,
    Doubted,
    Event,
    Foreseen,
    Settled,
    Tick,
    Wants,
    advance,
    needs_plan,
)
from scheduler.advisory import Advisory
from scheduler.book import Book
from scheduler.comeback import ailing
from scheduler.dead import told_dead
from scheduler.desk import Desk
from scheduler.draft import Draft
from scheduler.foresee import Foresight
from scheduler.handout import order_of
from scheduler.inventory import Inventory
from scheduler.limits import Limits
from scheduler.looks import Looks
from scheduler.outside import Outside
from scheduler.part_wants import untaken
from scheduler.replanner import Replanner
from scheduler.replanning import Fresh
from scheduler.revert_store import RevertStore
from scheduler.reverting import Reverting
from scheduler.rollout import ENDED, RolloutState, Step, StepState, attempt_id
from scheduler.rollout_scope import scope_of
from scheduler.store import Conflict, Store
from scheduler.veil import VeiledLog
from scheduler.verdicts import vanished, verdict_of
from scheduler.watch_store import WatchStore
from scheduler.watcher import Watcher

Log = Callable[[str], None]


class Clock(Protocol):
    """What time it is; handed in, so that a test can make it pass."""

    def now(self) -> datetime:
        """The time of day, with its zone."""

    def monotonic(self) -> float:
        """Seconds that only grow."""


@dataclass(frozen=True)
class Parts:
    """Everything outside that a controller works with."""

    client: redis.Redis
    store: Store
    clock: Clock
    plan: Fresh
    limits: Limits
    log: Log


class Controller:
    """Leads every rollout that has not ended; call `tick` again and again."""

    def __init__(self, parts: Parts, inventory: Inventory) -> None:
        self.parts = parts = replace(parts, log=VeiledLog(parts.log, parts.store, parts.clock.now))
        self.inventory = inventory
        self.desk = Desk(parts.client, inventory, parts.clock.monotonic, parts.limits.stale_after_s)
        self.looks = Looks(self.desk, parts.clock)
        self.replanner = Replanner(
            parts.store, self.looks, parts.clock, parts.limits, parts.plan, parts.log
        )
        self.foresight = Foresight(parts.clock.monotonic, parts.limits)
        watched = WatchStore(parts.client, parts.store.writer)
        self.watcher = Watcher(watched, inventory, parts.limits, parts.log)
        self.outside = Outside(parts.client, parts.clock.now)
        shell = (self.desk, self.looks, parts.clock, parts.limits, parts.log)
        self.reverting = Reverting(RevertStore(parts.client), *shell)
        self.books: dict[str, Book] = {}
        self._sent_s: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        self._missing_s: dict[str, float] = {}
        self._defects: dict[str, str] = {}

    def take_inventory(self, inventory: Inventory) -> None:
        """Use another inventory from now on."""
        self.inventory = inventory
        self.desk.take_inventory(inventory)
        self.watcher.take_inventory(inventory)

    def tick(self) -> None:
        """One round over all rollouts. Raises redis errors; the caller waits and calls again."""
        self.desk.refresh()
        self.watcher.tick(self.desk, self.books, self.parts.clock.now())
        self.outside.listen(self.books.values())
        self.reverting.tick()
        ids = self.parts.store.ids()
        self._forget_all_but(ids)
        for rollout_id in ids:
            try:
                self._lead(rollout_id)
            except Conflict:
                self.parts.log(f"rollout {rollout_id} was written by somebody else: read again")
                del self.books[rollout_id]
            except (redis.RedisError, MemoryError):
                raise
            except Exception as defect:  # of this program: the other rollouts go on
                self._stop_for(rollout_id, defect)

    def _forget_all_but(self, ids: Sequence[str]) -> None:
        """A server that lost its data may soon hold another rollout of the same name."""
        for rollout_id in sorted(self.books.keys() - set(ids)):
            del self.books[rollout_id]
            self.parts.log(f"{rollout_id}: Redis holds it no more: has the server lost its data?")

    def _stop_for(self, rollout_id: str, defect: Exception) -> None:
        """Nothing new starts in a rollout that this program cannot lead, and a person is told."""
        words = f"a defect of xenroll, please report it: {type(defect).__name__}: {defect}"
        if self._defects.get(rollout_id) != words:
            self._defects[rollout_id] = words
            self.parts.log(f"{rollout_id}: {''.join(format_exception(defect))}")
        if rollout_id in self.books:
            self._feed(self.books[rollout_id], Doubted(self.parts.clock.now(), words))

    def _lead(self, rollout_id: str) -> None:
        book = self.books.get(rollout_id) or self._take_up(rollout_id)
        if book.rollout.state in ENDED:
            return
        self._listen_to_people(book)
        crashes = self.watcher.news(book, self.parts.clock.now())
        for event in (*crashes, *self.reverting.news(book)):
            self._feed(book, event)
        for step in book.running():
            self._follow(book, step)
        self.outside.hear(book, self._feed)
        if self.desk.waking(book.hosts):
            return  # what we have not had the time to hear is no reason to hold anything
        answers = self.outside.answers(book.rollout)
        self._feed(book, Tick(self.parts.clock.now(), self.desk, answers))
        if needs_plan(book):
            self._plan_again(book)
        else:
            self.replanner.rest(book)
        if outlook := self.foresight.outlook(book, self.parts.clock.now()):
            self._feed(book, Foreseen(self.parts.clock.now(), outlook))
        if book.rollout.state in ENDED:
            self.parts.store.disown(rollout_id)

    def _take_up(self, rollout_id: str) -> Book:
        book = self.books[rollout_id] = self.parts.store.book(rollout_id)
        self.watcher.note(book, book.steps.values(), self.desk, self.parts.clock.now())
        if book.rollout.state in ENDED:
            # Whoever wrote its end may have died before it gave the hosts free.
            self.parts.store.disown(rollout_id)
        return book

    def _feed(self, book: Book, event: Event) -> None:
        """Decide, write down, take over, act: in this order."""
        before = book.rollout
        change = advance(book, event, self.parts.limits)
        self.desk.disks.ask(change.disks)
        self._ask(change.looks)
        if not change:
            return
        stopped = change.rollout is not None and change.rollout.state is RolloutState.STOPPED
        wanted = Wanted.PAUSE if stopped and before.state is not RolloutState.STOPPED else None
        head = self.parts.store.save(before, change, wanted)
        book.apply(change)
        book.rollout = head
        self.watcher.note(book, change.steps.values(), self.desk, self.parts.clock.now())
        for line in change.happenings:
            self.parts.log(f"{head.id}: {line.kind}: {line.text}")
        self._send(change.orders)
        for host in {host for host, _, _ in change.notices}:
            self.parts.client.lpush(keys.wake(host), "notice")

    def _ask(self, hosts: Sequence[str]) -> None:
        """Ask for looks, no host more often than a look may take."""
        now_s, gap_s = self.parts.clock.monotonic(), self.parts.limits.gate_look_s / 2
        for host in hosts:
            if now_s - self._asked_s.get(host, float("-inf")) >= gap_s:
                self._asked_s[host] = now_s
                self.desk.ask(host, int(self.parts.clock.now().timestamp() * 1000))

    def _send(self, orders: Sequence[Order]) -> None:
        jobs.send(self.parts.client, orders)
        for order in orders:
            self._sent_s[order.attempt_id] = self.parts.clock.monotonic()
            self.parts.client.lpush(keys.wake(order.host), "order")

    def _listen_to_people(self, book: Book) -> None:
        control = self.parts.store.control(book.rollout.id)
        wanted = Wanted(control.get("wanted", Wanted.PAUSE))
        epoch = int(control.get("epoch", book.rollout.epoch))
        if wanted is not book.rollout.wanted or epoch != book.rollout.epoch:
            by, reason = control.get("by", "nobody"), control.get("reason", "")
            keeps = tuple(self._keeps(book))
            self._feed(book, Wants(self.parts.clock.now(), wanted, epoch, by, reason, keeps))
        for event in untaken(book, control, self.parts.clock.now()):
            self._feed(book, event)

    def _follow(self, book: Book, step: Step) -> None:
        """Bring one step that is under way up to date with what its hosts show."""
        name = attempt_id(book.rollout.id, step.id, step.attempt)
        attempt = self.desk.attempt(step.host, name)
        if step.state in (StepState.ORDERED, StepState.RUNNING):
            if attempt is not None:
                self._missing_s.pop(name, None)
                self._feed(book, AttemptSeen(self.parts.clock.now(), step.id, attempt))
                if book.steps[step.id].state is StepState.SETTLING:
                    self.looks.fresh(name, step.hosts)  # asks now; a later round is answered
            elif step.state is StepState.ORDERED:
                self._send_again(book, step, name)
            else:
                self._miss(book, step, name)
        elif step.state is StepState.SETTLING:
            self._settle(book, step, attempt or vanished(name, step))

    def _send_again(self, book: Book, step: Step, name: str) -> None:
        """An order that its host shows no sign of is sent again; the same id makes it harmless."""
        age_s = self.parts.clock.monotonic() - self._sent_s.get(name, float("-inf"))
        if age_s > self.parts.limits.stale_after_s:
            self._send([self._order(book, step)])

    def _order(self, book: Book, step: Step) -> Order:
        draft = Draft(book, self.parts.clock.now())
        return order_of(draft, step, self.desk, self.parts.limits)

    def _miss(self, book: Book, step: Step, name: str) -> None:
        """A host that reports, but no longer knows what it had started: only a look can tell."""
        now_s = self.parts.clock.monotonic()
        since_s = self._missing_s.setdefault(name, now_s)
        fresh = not isinstance(self.desk.report(step.host), str)
        if fresh and now_s - since_s > self.parts.limits.stale_after_s:
            event = AttemptSeen(self.parts.clock.now(), step.id, vanished(name, step))
            self._feed(book, event)

    def _settle(self, book: Book, step: Step, attempt: Attempt) -> None:
        dead = told_dead(book, step, self.desk.newest)
        order = self._order(book, step)
        purpose = order.attempt_id  # a step's id is that of a step of another rollout, too
        reports = self.looks.fresh(purpose, [host for host in step.hosts if host not in dead])
        if reports is None:
            self._complain(book, step, self.looks.age_s(purpose))
            return
        host, keeps = book.hosts[step.host], self._keeps(book)
        attempt = vanished(order.attempt_id, step) if host.is_dead else attempt
        mends = book.mends_of(step.id) if step.mends else ()
        known = (book.rollout.advisories, keeps, mends)
        verdict = verdict_of(step, order, attempt, dead | reports, host, *known)
        self._feed(book, Settled(self.parts.clock.now(), step.id, verdict))
        self.looks.done(purpose)  # whatever was not clear needs another look

    def _keeps(self, book: Book) -> list[Advisory]:
        """Advisories beside the rollout's own, as they are known now: a person may add to them."""
        if not book.rollout.keeps:
            return []
        known = self.parts.store.advisories()
        return [known.get(one.id, one) for one in book.rollout.keeps]

    def _complain(self, book: Book, step: Step, waited_s: float) -> None:
        """Hosts that do not answer: say so, and let the time limit for doubt run."""
        ill = ailing(step, self.desk.newest(step.host))
        if ill and waited_s > self.parts.limits.gate_backoff_s:
            self._feed(book, Settled(self.parts.clock.now(), step.id, ill))
            return
        silent = [why for why in map(self.desk.report, step.hosts) if isinstance(why, str)]
        if silent and waited_s > self.parts.limits.stale_after_s:
            verdict = Verdict(Outcome.UNKNOWN, "; ".join(silent))
            self._feed(book, Settled(self.parts.clock.now(), step.id, verdict))

    def _plan_again(self, book: Book) -> None:
        event = self.replanner.event(book, self.inventory, scope_of(book, self.inventory))
        if event is not None:
            self._feed(book, event)
