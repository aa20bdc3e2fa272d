"""What waits to be sent, in Redis: each event enters a target's queue once, and leaves it once.

| key | what |
|---|---|
| `xr:notifier` | the lease: who sends |
| `xr:notify:places` | hash: rollout -> the line of its event log that was taken up last |
| `xr:notify:targets` | hash: target -> what it is (TargetFacts, JSON); written by who sends |
| `xr:notify:NAME:queue` | list of Delivery: the oldest first, and the first alone is tried |
| `xr:notify:NAME:dead` | list of Delivery that were given up, the newest first |
| `xr:notify:NAME:stats` | hash: `delivered`, `dead`, `last_ok_at`, `last_said` |
| `xr:notify:asked` | list of tests that people asked for |
| `xr:notify:test:ID` | what came of a test; ends after an hour |

A place moves on in the same script that fills the queues, so no line is taken up twice or never.
A try is written down before it begins, and only while the lease is held, so two senders never try
at once. Killed between a try and its answer, the next one sends the same id again: who received it
already knows the id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import redis
from pydantic import TypeAdapter

from scheduler.frozen import Frozen
from scheduler.notify.event import Event

LEASE_KEY = "xr:notifier"
PLACES_KEY = "xr:notify:places"
TARGETS_KEY = "xr:notify:targets"
ASKED_KEY = "xr:notify:asked"
MOST_WAITING = 20_000
MOST_DEAD = 1_000
TEST_KEPT_S = 3600

TAKE_UP_LUA = """
-- KEYS: lease, places.  ARGV: owner, rollout, expected place, new place, most waiting, most dead,
-- then pairs of target and delivery.  All of it or nothing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
if (redis.call('HGET', KEYS[2], ARGV[2]) or '') ~= ARGV[3] then return 'moved' end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
for i = 7, #ARGV, 2 do
  local base = 'xr:notify:' .. ARGV[i]
  if redis.call('LLEN', base .. ':queue') < tonumber(ARGV[5]) then
    redis.call('RPUSH', base .. ':queue', ARGV[i + 1])
  else
    redis.call('LPUSH', base .. ':dead', ARGV[i + 1])
    redis.call('LTRIM', base .. ':dead', 0, tonumber(ARGV[6]) - 1)
    redis.call('HINCRBY', base .. ':stats', 'dead', 1)
  end
end
return 'taken'
"""

TRY_LUA = """
-- KEYS: lease, queue.  ARGV: owner, the delivery at the front as read, the same with one try more.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[2] then return 'moved' end
redis.call('LSET', KEYS[2], 0, ARGV[3])
return 'go'
"""

ENDED_LUA = """
-- KEYS: queue, dead, stats.  ARGV: the delivery as it was tried, what of it (sent, again, dead),
-- the delivery to keep, time, words, most dead.  Nothing where somebody else has gone on meanwhile.
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[3], 'last_said', ARGV[5], 'last_try_at', ARGV[4])
if ARGV[2] == 'again' then redis.call('LSET', KEYS[1], 0, ARGV[3]) return 1 end
redis.call('LPOP', KEYS[1])
if ARGV[2] == 'sent' then
  redis.call('HINCRBY', KEYS[3], 'delivered', 1)
  redis.call('HSET', KEYS[3], 'last_ok_at', ARGV[4])
else
  redis.call('LPUSH', KEYS[2], ARGV[3])
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[6]) - 1)
  redis.call('HINCRBY', KEYS[3], 'dead', 1)
end
return 1
"""

REVIVE_LUA = """
-- KEYS: dead, queue.  ARGV: the delivery as it is among the dead, and as it is queued again.
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[2])
return 1
"""


class Delivery(Frozen):
    """An event on its way to one target."""

    event: Event
    queued_at: datetime
    tries: int = 0  # that were begun
    not_before: datetime | None = None
    said: str = ""  # what came of the newest try


class TargetFacts(Frozen):
    """A target as anybody may see it: no path and no secret of its address."""

    name: str
    kind: str
    where: str  # the machine that is called
    severity: str
    kinds: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


class TargetStatus(TargetFacts):
    """How a target does."""

    waiting: int
    dead: int  # kept among the given up
    delivered: int  # ever
    given_up: int  # ever
    oldest_waiting_at: datetime | None
    tries: int  # of the oldest that waits
    last_ok_at: datetime | None
    last_said: str


class Asked(Frozen):
    """A test that a person asks for."""

    id: str
    target: str
    by: str
    at: datetime


class TestResult(Frozen):
    """What came of a test."""

    __test__ = False  # pytest takes it for a class of tests

    id: str
    target: str
    ok: bool
    said: str
    took_ms: int


@dataclass(frozen=True)
class Front:
    """The delivery that is next, and its bytes as they are in the queue."""

    delivery: Delivery
    raw: bytes


class Outbox:
    """Everything here, by its keys; `owner` is unique to this process's life."""

    def __init__(self, client: redis.Redis, owner: str) -> None:
        self.client = client
        self.owner = owner
        self._take_up = client.register_script(TAKE_UP_LUA)
        self._try = client.register_script(TRY_LUA)
        self._ended = client.register_script(ENDED_LUA)
        self._revive = client.register_script(REVIVE_LUA)

    def places(self) -> dict[str, str]:
        """Rollout -> the line that was taken up last."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall(PLACES_KEY))
        return {name.decode(): place.decode() for name, place in raw.items()}

    def take_up(
        self, rollout: str, before: str, after: str, found: Iterable[tuple[str, Delivery]]
    ) -> bool:
        """Queue these for their targets and move the place on; False: somebody else did."""
        pairs = [part for name, one in found for part in (name, one.model_dump_json())]
        limits = (str(MOST_WAITING), str(MOST_DEAD))
        args = [self.owner, rollout, before, after, *limits, *pairs]
        return _text(self._take_up(keys=[LEASE_KEY, PLACES_KEY], args=args)) == "taken"

    def front(self, target: str) -> Front | None:
        """What this target is sent next."""
        raw = cast("bytes | None", self.client.lindex(_key(target, "queue"), 0))
        return Front(Delivery.model_validate_json(raw), raw) if raw else None

    def begin(self, target: str, front: Front) -> Front | None:
        """Write down that it is tried now; None where it must not be tried by us."""
        tried = front.delivery.model_copy(update={"tries": front.delivery.tries + 1})
        raw = tried.model_dump_json().encode()
        names = [LEASE_KEY, _key(target, "queue")]
        answer = self._try(keys=names, args=[self.owner, front.raw, raw])
        return Front(tried, raw) if _text(answer) == "go" else None

    def ended(self, target: str, tried: Front, what: str, kept: Delivery, at: datetime) -> None:
        """What came of a try: `sent`, `again` or `dead`."""
        names = [_key(target, name) for name in ("queue", "dead", "stats")]
        now, most = at.isoformat(), str(MOST_DEAD)
        args: list[str | bytes] = [tried.raw, what, kept.model_dump_json(), now, kept.said, most]
        self._ended(keys=names, args=args)

    def dead(self, target: str, most: int) -> list[Delivery]:
        """Deliveries that were given up, the newest first."""
        raw = cast("list[bytes]", self.client.lrange(_key(target, "dead"), 0, most - 1))
        return [Delivery.model_validate_json(one) for one in raw]

    def revive(self, target: str, at: datetime) -> int:
        """Queue everything that was given up again, with the same ids; how many."""
        raw = cast("list[bytes]", self.client.lrange(_key(target, "dead"), 0, -1))
        names = [_key(target, "dead"), _key(target, "queue")]
        again = 0
        for one in reversed(raw):  # the oldest first
            event = Delivery.model_validate_json(one).event
            fresh = Delivery(event=event, queued_at=at).model_dump_json()
            again += cast(int, self._revive(keys=names, args=[one, fresh]))
        return again

    def publish(self, facts: Sequence[TargetFacts]) -> None:
        """Tell who looks which targets there are."""
        with self.client.pipeline(transaction=True) as pipe:
            pipe.delete(TARGETS_KEY)
            if facts:
                pipe.hset(TARGETS_KEY, mapping={one.name: one.model_dump_json() for one in facts})
            pipe.execute()

    def targets(self) -> list[TargetFacts]:
        """The targets of who sends, by name."""
        raw = cast("list[bytes]", self.client.hvals(TARGETS_KEY))
        found = TypeAdapter(list[TargetFacts]).validate_python([json.loads(one) for one in raw])
        return sorted(found, key=lambda one: one.name)

    def status(self) -> list[TargetStatus]:
        """How each target does."""
        return [self._status(one) for one in self.targets()]

    def _status(self, facts: TargetFacts) -> TargetStatus:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.llen(_key(facts.name, "queue"))
            pipe.llen(_key(facts.name, "dead"))
            pipe.hgetall(_key(facts.name, "stats"))
            waiting, dead, raw = pipe.execute()
        stats: Mapping[str, str] = {name.decode(): value.decode() for name, value in raw.items()}
        front = self.front(facts.name)
        return TargetStatus(
            **facts.model_dump(),
            waiting=waiting,
            dead=dead,
            delivered=int(stats.get("delivered", 0)),
            given_up=int(stats.get("dead", 0)),
            oldest_waiting_at=front.delivery.queued_at if front else None,
            tries=front.delivery.tries if front else 0,
            last_ok_at=_time(stats.get("last_ok_at")),
            last_said=stats.get("last_said", ""),
        )

    def leader(self) -> str:
        """Who sends; empty: nobody."""
        return _text(self.client.get(LEASE_KEY) or b"")

    def ask(self, asked: Asked) -> None:
        """A person wants a test."""
        self.client.rpush(ASKED_KEY, asked.model_dump_json())

    def asked(self) -> Asked | None:
        """The next test that is wanted; it is taken, so that it is sent once at most."""
        raw = cast("bytes | None", self.client.lpop(ASKED_KEY))
        return Asked.model_validate_json(raw) if raw else None

    def tell(self, result: TestResult) -> None:
        """Keep what came of a test."""
        self.client.set(f"xr:notify:test:{result.id}", result.model_dump_json(), ex=TEST_KEPT_S)

    def result(self, test_id: str) -> TestResult | None:
        """What came of a test, once it is known."""
        raw = cast("bytes | None", self.client.get(f"xr:notify:test:{test_id}"))
        return TestResult.model_validate_json(raw) if raw else None


def _key(target: str, what: str) -> str:
    return f"xr:notify:{target}:{what}"


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
