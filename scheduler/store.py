"""Rollouts in Redis: each event writes what changed, in one script that checks the version.

| key | what |
|---|---|
| `xr:rollouts` | sorted set: rollout id by time of creation |
| `xr:rollout:ID` | the head, JSON |
| `xr:rollout:ID:version` | its version, and who wrote it last: `VERSION WRITER` |
| `xr:rollout:ID:steps`, `:hosts`, `:guests` | hashes: name -> record, JSON |
| `xr:rollout:ID:events` | stream of happenings |
| `xr:rollout:ID:fleet:G`, `:plan:G` | the documents of plan generation G |
| `xr:control:ID` | what people want (`agents.keys.keys.control`); hosts obey it at once |
| `xr:owner` | hash: host -> the rollout that may touch it |
| `xr:inventory` | the inventory's document |
| `xr:advisories` | hash: id -> advisory |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import redis
from pydantic import BaseModel

from agents.keys import SETTLED, keys
from agents.wire import Wanted
from planner.plan import plan_json
from scheduler import notice
from scheduler.advisory import Advisory
from scheduler.book import Book
from scheduler.planned import Planned
from scheduler.rollout import Change, GuestRecord, Happening, HostRecord, Rollout, Step

SAVE_LUA = """
-- KEYS[1]: the rollout's prefix.  ARGV[1]: the change as JSON, ARGV[2]: expected version,
-- ARGV[3]: writer.  All or nothing; a repeated call after a lost reply is taken as the first.
local base = KEYS[1]
local now = redis.call('GET', base .. ':version') or '0 -'
local mine = tostring(tonumber(ARGV[2]) + 1) .. ' ' .. ARGV[3]
if now == mine then return 'again' end
if string.match(now, '^%d+') ~= ARGV[2] then return 'conflict' end
local change = cjson.decode(ARGV[1])
redis.call('SET', base, change.head)
redis.call('SET', base .. ':version', mine)
for table_name, records in pairs(change.tables) do
  for name, record in pairs(records) do
    redis.call('HSET', base .. ':' .. table_name, name, record)
  end
end
for _, order in ipairs(change.orders) do redis.call('HSET', order[1], order[2], order[3]) end
for _, drop in ipairs(change.drops) do
  redis.call('HDEL', drop[1], drop[3])
  redis.call('HDEL', drop[2], drop[3])
end
for _, line in ipairs(change.happenings) do
  redis.call('XADD', base .. ':events', 'MAXLEN', '~', '200000', '*', 'h', line)
end
if change.wanted then redis.call('HSET', change.wanted[1], 'wanted', change.wanted[2],
  'by', 'xenroll', 'reason', change.wanted[3], 'at', change.wanted[4]) end
return 'saved'
"""

WANT_LUA = """
-- KEYS: control.  ARGV: wanted, by, reason, time.  What a person wants; hosts obey at once.
if redis.call('HGET', KEYS[1], 'wanted') == 'abort' then return 'aborted' end
redis.call('HSET', KEYS[1], 'wanted', ARGV[1], 'by', ARGV[2], 'reason', ARGV[3], 'at', ARGV[4])
if ARGV[1] == 'abort' then redis.call('HINCRBY', KEYS[1], 'epoch', 1) end
return 'ok'
"""

OWN_LUA = """
-- KEYS: owner hash.  ARGV: rollout, then hosts.  All the hosts, or none and who has the first.
for i = 2, #ARGV do
  local owner = redis.call('HGET', KEYS[1], ARGV[i])
  local alive = owner and redis.call('EXISTS', 'xr:rollout:' .. owner) == 1
  if alive and owner ~= ARGV[1] then return {ARGV[i], owner} end
end
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
return {}
"""

Record = TypeVar("Record", bound=BaseModel)


class Conflict(Exception):
    """Somebody else wrote the rollout meanwhile: read it again."""


class NoRollout(Exception):
    """There is no rollout of that id."""


class Taken(Exception):
    """A host belongs to another rollout that has not ended."""


def _base(rollout_id: str) -> str:
    return f"xr:rollout:{rollout_id}"


class Store:
    """Reads and writes rollouts. `writer` is unique to this process's life."""

    def __init__(self, client: redis.Redis, writer: str) -> None:
        self.client = client
        self.writer = writer
        self._save = client.register_script(SAVE_LUA)
        self._want = client.register_script(WANT_LUA)
        self._own = client.register_script(OWN_LUA)

    def create(self, rollout: Rollout, planned: Planned, document: bytes, change: Change) -> None:
        """Write a new rollout, its plan and fleet; nothing starts before this has succeeded.

        Raises Taken when a host belongs to another rollout.
        """
        self.own(rollout.id, [host.name for host in planned.fleet.hosts])
        self.save_plan(rollout.id, rollout.generation, planned, document)
        self.client.hset(
            keys.control(rollout.id),
            mapping={"wanted": str(Wanted.RUN), "epoch": rollout.epoch, "by": rollout.created_by},
        )
        self.save(rollout, change)
        created = rollout.created_at.timestamp()
        self.client.zadd("xr:rollouts", {rollout.id: created})

    def save_plan(self, rollout_id: str, generation: int, planned: Planned, fleet: bytes) -> None:
        """Keep the documents of one plan generation."""
        base, plan = _base(rollout_id), plan_json(planned.plan)
        self.client.mset({f"{base}:fleet:{generation}": fleet, f"{base}:plan:{generation}": plan})

    def save(self, before: Rollout, change: Change, wanted: Wanted | None = None) -> Rollout:
        """Write a change if the rollout is still at `before.version`; returns the new head.

        `wanted`: also put this into the control record (doubt pauses the hosts at once).
        Raises Conflict when somebody else wrote in between.
        """
        head = (change.rollout or before).model_copy(update={"version": before.version + 1})
        payload = _payload(head, change, wanted)
        answer = self._save(keys=[_base(head.id)], args=[payload, before.version, self.writer])
        if _text(answer) == "conflict":
            raise Conflict(head.id)
        return head

    def book(self, rollout_id: str, parsed: dict[bytes, BaseModel] | None = None) -> Book:
        """The whole rollout. Raises NoRollout.

        `parsed`: records of an earlier reading by their bytes; who reads again and again keeps it.
        """
        parsed = {} if parsed is None else parsed
        base = _base(rollout_id)
        with self.client.pipeline(transaction=True) as pipe:
            pipe.get(base)
            for table in ("steps", "hosts", "guests"):
                pipe.hvals(f"{base}:{table}")
            head, steps, hosts, guests = pipe.execute()
        if head is None:
            raise NoRollout(rollout_id)
        return Book(
            Rollout.model_validate_json(head),
            {step.id: step for step in _known_records(Step, steps, parsed)},
            {host.name: host for host in _known_records(HostRecord, hosts, parsed)},
            {guest.name: guest for guest in _known_records(GuestRecord, guests, parsed)},
        )

    def head(self, rollout_id: str) -> Rollout:
        """The rollout's head alone. Raises NoRollout."""
        head = cast("bytes | None", self.client.get(_base(rollout_id)))
        if head is None:
            raise NoRollout(rollout_id)
        return Rollout.model_validate_json(head)

    def ids(self) -> list[str]:
        """Every rollout's id, the newest last."""
        names = cast("list[bytes]", self.client.zrange("xr:rollouts", 0, -1))
        return [_text(name) for name in names]

    def want(self, rollout_id: str, wanted: Wanted, by: str, reason: str, at: datetime) -> bool:
        """Tell hosts and controller what a person wants. False when it is aborted already."""
        answer = self._want(
            keys=[keys.control(rollout_id)], args=[str(wanted), by, reason, at.isoformat()]
        )
        return _text(answer) == "ok"

    def being_started(self, rollout_id: str) -> int:
        """Attempts that a host has claimed and does not yet know the start of."""
        hosts = [name for name, owner in self.owners().items() if owner == rollout_id]
        with self.client.pipeline(transaction=False) as pipe:
            for host in hosts:
                pipe.hgetall(keys.claims(host))
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
        prefix = f"{rollout_id}-"
        claims = [pair for answer in answers for pair in answer.items()]
        return sum(
            _text(name).startswith(prefix) and _text(value) != SETTLED for name, value in claims
        )

    def control(self, rollout_id: str) -> dict[str, str]:
        """The control record: `wanted`, `epoch`, `by`, `reason`, `at`."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall(keys.control(rollout_id)))
        return {_text(name): _text(value) for name, value in raw.items()}

    def inventory(self) -> bytes | None:
        """The document that was applied last, or None."""
        return cast("bytes | None", self.client.get("xr:inventory"))

    def apply_inventory(self, document: bytes) -> None:
        """Keep a document that was checked."""
        self.client.set("xr:inventory", document)

    def advisories(self) -> dict[str, Advisory]:
        """Every advisory by its id."""
        raw = cast("list[bytes]", self.client.hvals("xr:advisories"))
        return {advisory.id: advisory for advisory in _records(Advisory, raw)}

    def put_advisory(self, advisory: Advisory) -> None:
        """Keep an advisory, or replace it."""
        self.client.hset("xr:advisories", advisory.id, advisory.model_dump_json())

    def happenings(self, rollout_id: str, newest: int) -> list[Happening]:
        """The newest lines of the event log, oldest first."""
        raw = self.client.xrevrange(f"{_base(rollout_id)}:events", count=newest)
        entries = cast("Sequence[tuple[bytes, dict[bytes, bytes]]]", raw)
        return [Happening.model_validate_json(fields[b"h"]) for _, fields in reversed(entries)]

    def fleet_document(self, rollout_id: str, generation: int) -> bytes | None:
        """The fleet that a plan generation was made for, or None."""
        return cast("bytes | None", self.client.get(f"{_base(rollout_id)}:fleet:{generation}"))

    def plan_document(self, rollout_id: str, generation: int) -> bytes | None:
        """The plan of a generation, or None."""
        return cast("bytes | None", self.client.get(f"{_base(rollout_id)}:plan:{generation}"))

    def own(self, rollout_id: str, hosts: Sequence[str]) -> None:
        """Take hosts for a rollout, all or none. Raises Taken."""
        answer = cast("list[bytes]", self._own(keys=["xr:owner"], args=[rollout_id, *hosts]))
        if answer:
            host, owner = (_text(part) for part in answer)
            raise Taken(f"host {host} belongs to rollout {owner}, which has not ended")

    def owners(self) -> dict[str, str]:
        """Which rollout may touch which host."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall("xr:owner"))
        return {_text(host): _text(owner) for host, owner in raw.items()}

    def disown(self, rollout_id: str) -> None:
        """Give the hosts of an ended rollout free."""
        mine = [name for name, owner in self.owners().items() if owner == rollout_id]
        if mine:
            self.client.hdel("xr:owner", *mine)


def _records(model: type[Record], raw: Iterable[bytes]) -> list[Record]:
    return [model.model_validate_json(value) for value in raw]


def _known_records(
    model: type[Record], raw: Iterable[bytes], parsed: dict[bytes, BaseModel]
) -> list[Record]:
    """As `_records`; what was parsed before is taken from there, and what is gone forgotten."""
    found = {value: parsed.get(value) or model.model_validate_json(value) for value in raw}
    for value in [value for value, one in parsed.items() if isinstance(one, model)]:
        if value not in found:
            del parsed[value]
    parsed.update(found)
    return cast("list[Record]", list(found.values()))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _payload(head: Rollout, change: Change, wanted: Wanted | None) -> str:
    tables: dict[str, dict[str, str]] = {
        "steps": {name: step.model_dump_json() for name, step in change.steps.items()},
        "hosts": {name: host.model_dump_json() for name, host in change.hosts.items()},
        "guests": {name: guest.model_dump_json() for name, guest in change.guests.items()},
    }
    given, over = notice.rows(change)
    orders = [[keys.orders(o.host), o.attempt_id, o.model_dump_json()] for o in change.orders]
    drops = [[keys.orders(host), keys.claims(host), name] for host, name in change.drops]
    payload: dict[str, object] = {
        "head": head.model_dump_json(),
        "tables": {name: records for name, records in tables.items() if records},
        "orders": orders + given,
        "drops": drops + over,
        "happenings": [line.model_dump_json() for line in change.happenings],
    }
    if wanted is not None:
        hold = head.hold
        reason, at = (hold.reason, hold.since.isoformat()) if hold else ("", "")
        payload["wanted"] = [keys.control(head.id), str(wanted), reason, at]
    return json.dumps(payload)
