"""The controller's part in reverting live patches: gives the order, looks what came of it.

A revert belongs to no rollout. It goes the way of every step: an order, one attempt on the host,
and a look at the host that tells what became of it, whatever a command returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from agents.settle import Outcome, settle_revert
from agents.wire import AttemptState
from scheduler import jobs
from scheduler.book import Book
from scheduler.choice import Withheld
from scheduler.desk import Desk
from scheduler.limits import Limits
from scheduler.looks import Clock, Looks
from scheduler.revert_store import RevertStore
from scheduler.reverted import Withholds
from scheduler.reverts import Revert, RevertState, seen, withheld

ENDS = {Outcome.DONE: RevertState.REVERTED, Outcome.STAYED: RevertState.FAILED}


class Reverting:
    """Leads every revert that is open. Raises redis errors; a later round goes on."""

    def __init__(
        self,
        store: RevertStore,
        desk: Desk,
        looks: Looks,
        clock: Clock,
        limits: Limits,
        log: Callable[[str], None],
    ) -> None:
        self.store, self.desk, self.looks = store, desk, looks
        self.clock, self.limits, self.log = clock, limits, log
        self._withheld: dict[str, tuple[Withheld, ...]] = {}
        self._sent_s: dict[str, float] = {}

    def tick(self) -> None:
        """One round over all of them."""
        reverts = self.store.all()
        self._withheld = withheld(reverts)
        for revert in reverts:
            if revert.state is RevertState.ASKED:
                self._begin(revert)
            elif revert.state is RevertState.ORDERED:
                self._follow(revert)
            elif revert.state is RevertState.FAILED:
                self._failed(revert)

    def news(self, book: Book) -> Iterator[Withholds]:
        """What this rollout's records do not say yet."""
        for name, host in book.hosts.items():
            here = self._withheld.get(name, ())
            if here != host.withheld:
                yield Withholds(self.clock.now(), name, here)

    def _begin(self, revert: Revert) -> None:
        if self._late(revert):
            self._end(revert, RevertState.FAILED, "no controller took it up in time: ask again")
            return
        self.store.order(revert)
        self._write(revert, RevertState.ORDERED, "")
        self._send(revert)

    def _send(self, revert: Revert) -> None:
        jobs.send(self.store.client, [revert.order])
        self._sent_s[revert.id] = self.clock.monotonic()

    def _follow(self, revert: Revert) -> None:
        attempt = self.desk.attempt(revert.host, revert.attempt_id)
        if attempt is None:
            self._without_a_sign(revert)
            return
        if attempt.state is AttemptState.RUNNING:
            return
        reports = self.looks.fresh(revert.id, [revert.host])
        if reports is None:
            return
        self.looks.done(revert.id)
        report = reports[revert.host]
        verdict = settle_revert(revert.order, attempt, report)
        state = ENDS.get(verdict.outcome)
        if state is not None:
            self._end(seen(revert, report), state, verdict.reason)

    def _without_a_sign(self, revert: Revert) -> None:
        """Sent again until its host says what became of it; taken back when it is late.

        A host that was given leave to begin may begin at any time, whatever it shows until then:
        so it is called off, and its job goes on being sent until its worker has refused it.
        """
        if self._late(revert):
            if self.store.take_back(revert):
                said = f"{revert.host} did not take it up in time: nothing was started"
                self._end(revert, RevertState.FAILED, said)
                return
            self.store.call_off(revert)
            if self._gone(revert):
                return
        since_s = self.clock.monotonic() - self._sent_s.get(revert.id, float("-inf"))
        if since_s > self.limits.stale_after_s:
            self._send(revert)

    def _gone(self, revert: Revert) -> bool:
        """Whether its host shows that it does nothing any more; then it is over."""
        report = self.desk.report(revert.host)
        if isinstance(report, str) or revert.payload in report.livepatches:
            return False
        said = f"{revert.payload} is not applied on {revert.host} any more"
        self._end(seen(revert, report), RevertState.REVERTED, said)
        return True

    def _failed(self, revert: Revert) -> None:
        """What was there still, and is gone in the same boot of its host, was reverted after all.

        Xen may end an action after its command gave up waiting; or a person did it by hand.
        """
        report = self.desk.newest(revert.host)
        if revert.boot_id and report is not None and report.boot_id == revert.boot_id:
            self._gone(revert)

    def _late(self, revert: Revert) -> bool:
        return self.clock.now() - revert.since > timedelta(seconds=self.limits.settle_limit_s)

    def _end(self, revert: Revert, state: RevertState, outcome: str) -> None:
        """The record first: an order that is left over names an attempt that is over."""
        ended = self._write(revert, state, outcome)
        self.store.clear(ended)
        self._sent_s.pop(revert.id, None)

    def _write(self, revert: Revert, state: RevertState, outcome: str) -> Revert:
        changes = {"state": state, "since": self.clock.now(), "outcome": outcome}
        written = revert.model_copy(update=changes)
        self.store.put(written)
        asked = f"revert of {revert.payload} on {revert.host}, asked for by {revert.by}"
        self.log(f"{asked}: {state}" + (f": {outcome}" if outcome else ""))
        return written
