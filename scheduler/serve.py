"""The controller as a process: leads when it holds the lease, waits out Redis, ends on SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import NoReturn

from redis.exceptions import RedisError

from scheduler.control import Controller, Parts
from scheduler.inventory import Inventory, load_inventory
from scheduler.lease import Lease
from scheduler.link import patient
from scheduler.planning import plan_fleet
from scheduler.settings import Settings
from scheduler.store import Store
from scheduler.text import plain


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


def log(line: str) -> None:
    """One line on stderr, made of printable characters only."""
    text = plain(line)
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", file=sys.stderr, flush=True)


class Server:
    """Runs one Controller until it is told to end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.client = patient(settings.redis_url)
        self.store = Store(self.client, self.owner)
        self.lease = Lease(self.client, self.owner)
        self.ending = threading.Event()
        self._inventory_raw = b""
        self._controller: Controller | None = None
        self._said = ""

    def run(self) -> int:
        """Lead until SIGTERM or SIGINT; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.set())
        log(f"controller {self.owner} began")
        while not self.ending.is_set():
            self._round()
            self.ending.wait(self.settings.tick_s)
        self._leave()
        return 0

    def _round(self) -> None:
        try:
            leader = self.lease.hold()
            if leader != self.owner:
                self._once(f"{leader} leads: waiting")
                self._drop()
                return
            self._lead()
            self._once("leading")
        except RedisError as error:
            # What was under way goes on at the hosts; nothing new starts without Redis.
            self._once(f"Redis is away: {error}: no new step until it is back")
            self._drop()

    def _drop(self) -> None:
        """Lead no more: whoever leads next starts from the records."""
        if self._controller is not None:
            self._controller.outside.close()
        self._controller = None

    def _lead(self) -> None:
        raw = self.store.inventory() or b"{}"
        if self._controller is None:
            self._controller = Controller(self._parts(), self._inventory(raw))
        elif raw != self._inventory_raw:
            self._controller.take_inventory(self._inventory(raw))
        self._controller.tick()

    def _inventory(self, raw: bytes) -> Inventory:
        self._inventory_raw = raw
        return load_inventory(raw)

    def _parts(self) -> Parts:
        return Parts(
            client=self.client,
            store=self.store,
            clock=SystemClock(),
            plan=plan_fleet,
            limits=self.settings.limits,
            log=log,
        )

    def _once(self, line: str) -> None:
        """Say what changed, once."""
        if line != self._said:
            log(line)
            self._said = line

    def _leave(self) -> None:
        self._drop()
        try:
            self.lease.drop()
        except RedisError as error:
            log(f"the lease was left to run out: {error}")
        log("controller ended; steps under way go on at their hosts")


def main(settings: Settings) -> NoReturn:
    """Run the controller of this machine."""
    sys.exit(Server(settings).run())
