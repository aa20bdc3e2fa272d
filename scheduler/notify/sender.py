"""One target's deliveries: the oldest first, each tried until it is received or given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.advisory import Advisory
from scheduler.notify import sign
from scheduler.notify.body import body
from scheduler.notify.event import Event, test_event
from scheduler.notify.outbox import Asked, Delivery, Outbox, TestResult
from scheduler.notify.post import Answer, post
from scheduler.notify.targets import Ready
from scheduler.veil import Veil, hidden

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
LEAST_TRIES = 3
"""So often it is tried however old it is: it may be the sender that was away."""

AGENT = "xenroll-notify/1"


@dataclass(frozen=True)
class Surroundings:
    """What a sender works with beside its target."""

    outbox: Outbox
    now: Callable[[], datetime]
    advisories: Callable[[], Sequence[Advisory]]  # read for every message: an embargo counts now
    dashboard_url: str
    log: Callable[[str], None]


class Sender:
    """Sends what waits for one target."""

    def __init__(self, ready: Ready, around: Surroundings) -> None:
        self.ready = ready
        self.around = around

    def turn(self) -> bool:
        """Try what is next, if it is due; whether anything was sent. Raises redis errors."""
        name, outbox = self.ready.name, self.around.outbox
        front = outbox.front(name)
        if front is None or not self._due(front.delivery):
            return False
        tried = outbox.begin(name, front)
        if tried is None:
            return False
        answer = self._send(tried.delivery.event)
        what, kept = self._judge(tried.delivery, answer)
        outbox.ended(name, tried, what, kept, self.around.now())
        if not answer.ok:
            left = "given up" if what == "dead" else "it is tried again"
            self.around.log(f"target {name}: {kept.event.id}: {answer.said}; {left}")
        return True

    def _due(self, delivery: Delivery) -> bool:
        return delivery.not_before is None or delivery.not_before <= self.around.now()

    def _send(self, event: Event) -> Answer:
        now = self.around.now()
        secret = hidden(self.around.advisories(), now)
        text = body(self.ready.target.kind, event, self.around.dashboard_url)
        sent = (Veil(secret)(text) if secret else text).encode()
        headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        headers |= sign.headers(self.ready.secrets, event.id, int(now.timestamp()), sent)
        if self.ready.authorization:
            headers["Authorization"] = self.ready.authorization
        return post(self.ready, headers, sent)

    def _judge(self, tried: Delivery, answer: Answer) -> tuple[str, Delivery]:
        """What becomes of a delivery after this answer."""
        now = self.around.now()
        kept = tried.model_copy(update={"said": answer.said})
        if answer.ok:
            return "sent", kept
        old = now - tried.queued_at > timedelta(seconds=self.ready.target.give_up_s)
        if answer.final or (old and tried.tries >= LEAST_TRIES):
            return "dead", kept
        wait_s = max(backoff_s(tried.tries), answer.retry_after_s or 0.0)
        return "again", kept.model_copy(update={"not_before": now + timedelta(seconds=wait_s)})

    def test(self, asked: Asked) -> TestResult:
        """Send a test once, whatever waits, and tell what came of it."""
        began_s = time.monotonic()
        answer = self._send(test_event(asked.id, asked.by, asked.at))
        took_ms = int((time.monotonic() - began_s) * 1000)
        return TestResult(
            id=asked.id, target=self.ready.name, ok=answer.ok, said=answer.said, took_ms=took_ms
        )


def backoff_s(tries: int) -> float:
    """How long to wait after so many tries: doubles, up to five minutes."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries - 1, 20)))
