"""The sender as a process: takes up what happens, one thread for each target sends it.

Several may run; one holds the lease and sends. On SIGTERM a message that is on its way is ended and
noted first, so that a restart repeats nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

import redis
from redis.exceptions import RedisError

from scheduler.advisory import Advisory
from scheduler.inventory import InventoryError, load_inventory
from scheduler.lease import Lease
from scheduler.notify.event import event_of
from scheduler.notify.outbox import LEASE_KEY, Asked, Delivery, Outbox, TargetFacts
from scheduler.notify.sender import Sender, Surroundings
from scheduler.notify.targets import Config, Ready
from scheduler.rollout import Rollout
from scheduler.service.streams import Line, Streams
from scheduler.store import Store
from scheduler.veil import VeiledLog

READ_MS = 500
IDLE_S = 0.2
AWAY_WAIT_S = 1.0
OLDEST = "0-0"
BEGUN = ""
"""An entry among the places that is no rollout: there was a first start."""


class Notifier:
    """Takes up events and has them sent, as long as it holds the lease."""

    def __init__(
        self,
        client: redis.Redis,
        config: Config,
        targets: Sequence[Ready],
        now: Callable[[], datetime],
        log: Callable[[str], None],
    ) -> None:
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.store = Store(client, self.owner)
        self.outbox = Outbox(client, self.owner)
        self.streams = Streams(client)
        self.lease = Lease(client, self.owner, LEASE_KEY)
        self.now = now
        self.log = VeiledLog(log, self.store, now)
        around = Surroundings(self.outbox, now, self._advisories, config.dashboard_url, self.log)
        self.senders = [Sender(ready, around) for ready in targets]
        self.leading = threading.Event()
        self.ending = threading.Event()
        self._owners: tuple[bytes | None, dict[str, str]] = (None, {})
        self._said = ""

    def _advisories(self) -> Sequence[Advisory]:
        return tuple(self.store.advisories().values())

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.set())
        threads = [threading.Thread(target=self._sending, args=(one,)) for one in self.senders]
        for thread in threads:
            thread.start()
        while not self.ending.is_set():
            self.round()
        for thread in threads:
            thread.join()
        self._leave()
        return 0

    def _leave(self) -> None:
        try:
            self.lease.drop()
        except RedisError as error:
            self.log(f"the lease was left to run out: {error}")
        self.log("notifications ended")

    def round(self) -> None:
        """Lead, or wait; take up what has happened."""
        try:
            leader = self.lease.hold()
            if leader != self.owner:
                self._once(f"{leader} sends notifications: waiting")
                self.leading.clear()
                self.ending.wait(AWAY_WAIT_S)
                return
            if not self.leading.is_set():
                self.outbox.publish([facts(one.ready) for one in self.senders])
                self.leading.set()
            self._once(f"sending to {len(self.senders)} targets")
            self.collect(READ_MS)
            self.tests()
        except RedisError as error:
            self.leading.clear()
            self._once(f"Redis is away: {error}: nothing is sent until it is back")
            self.ending.wait(AWAY_WAIT_S)

    def collect(self, wait_ms: int) -> None:
        """Queue what happened since the places written down; waits so long for the first."""
        places = self.outbox.places()
        known = self._begin(places)
        if not known:
            self.ending.wait(wait_ms / 1000)
            return
        for rollout, lines in self.streams.wait(known, wait_ms).items():
            head = self.store.head(rollout)
            found = [pair for line in lines for pair in self._deliveries(head, line)]
            before = places.get(rollout, "")
            self.outbox.take_up(rollout, before, lines[-1][0], found)

    def _begin(self, places: dict[str, str]) -> dict[str, str]:
        """Where to read on: at the end of what was there before our first start, else the begin."""
        ids = self.store.ids()
        if BEGUN not in places:  # history is not news
            for rollout in ids:
                if rollout not in places:
                    places[rollout] = self.streams.last(rollout)
                    self.outbox.take_up(rollout, "", places[rollout], ())
            self.outbox.take_up(BEGUN, "", OLDEST, ())
        return {rollout: places.get(rollout, OLDEST) for rollout in ids}

    def _deliveries(self, head: Rollout, line: Line) -> list[tuple[str, Delivery]]:
        place, said = line
        event = event_of(place, head.id, head.advisory, self._owner(said.guest), said)
        delivery = Delivery(event=event, queued_at=self.now())
        return [(one.ready.name, delivery) for one in self.senders if one.ready.target.wants(event)]

    def _owner(self, guest: str | None) -> str:
        """Who owns a guest, by the inventory as it is now."""
        if guest is None:
            return ""
        raw = self.store.inventory()
        if raw != self._owners[0]:
            try:
                guests = load_inventory(raw).guests if raw else ()
            except InventoryError:
                guests = ()  # `xenroll inventory apply` refuses such a one: nobody owns anything
            self._owners = (raw, {one.name: one.owner for one in guests})
        return self._owners[1].get(guest, "")

    def tests(self) -> None:
        """Send the tests that people asked for, each on a thread of its own."""
        while (asked := self.outbox.asked()) is not None:
            threading.Thread(target=self._test, args=(asked,)).start()

    def _test(self, asked: Asked) -> None:
        for sender in self.senders:
            if sender.ready.name == asked.target:
                self.outbox.tell(sender.test(asked))

    def _sending(self, sender: Sender) -> None:
        while not self.ending.is_set():
            try:
                if not self.leading.is_set() or not sender.turn():
                    self.ending.wait(IDLE_S)
            except RedisError:
                self.ending.wait(AWAY_WAIT_S)  # the round says that it is away

    def _once(self, line: str) -> None:
        if line != self._said:
            self.log(line)
            self._said = line


def facts(ready: Ready) -> TargetFacts:
    """A target as anybody may see it."""
    target = ready.target
    return TargetFacts(
        name=target.name,
        kind=str(target.kind),
        where=ready.where,
        severity=str(target.severity),
        kinds=tuple(sorted(target.kinds)),
        owners=tuple(sorted(target.owners)),
    )
