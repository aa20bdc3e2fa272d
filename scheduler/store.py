"""Rollouts in Redis: each event writes what changed, in one script that checks the version.

| key | what |
|---|---|
| `xr:rollouts` | sorted set: rollout id by time of creation |
| `xr:rollout:ID` | the head, JSON |
| `xr:rollout:ID:version` | its version, and who wrote it last: `VERSION WRITER` |
| `xr:rollout:ID:steps`, `:hosts`, `:guests`, `:waves` | hashes: name -> record, JSON |
| `xr:rollout:ID:events` | stream of happenings |
| `xr:rollout:ID:fleet:G`, `:plan:G` | the documents of plan generation G |
| `xr:control:ID` | what people want (`agents.keys.keys.control`); hosts obey it at once |
| `xr:closed` | hash: host -> why it takes no new guests (`scheduler.closed`) |
| `xr:owner` | hash: host -> the rollout that may touch it |
| `xr:inventory` | the inventory's document |
| `xr:advisories` | hash: id -> advisory |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast

import redis

from agents.keys import SETTLED, keys
from agents.wire import Wanted
from planner.plan import plan_json
from scheduler.advisory import Advisory
from scheduler.book import Book
from scheduler.planned import Planned
from scheduler.rollout import Change, GuestRecord, Happening, HostRecord, Rollout, Step
from scheduler.store_records import payload, records, text
from scheduler.store_scripts import OWN_LUA, SAVE_LUA, WANT_LUA, WISH_LUA
from scheduler.waves import PartWish, WaveRecord


class Conflict(Exception):
    """Somebody else wrote the rollout meanwhile: read it again."""


class NoRollout(Exception):
    """There is no rollout of that id."""


class Taken(Exception):
    """A host belongs to another rollout that has not ended."""


class RawBook(NamedTuple):
    """The records of a rollout as JSON, all of one moment."""

    head: bytes
    steps: list[bytes]
    hosts: list[bytes]
    guests: list[bytes]
    waves: list[bytes]


def _base(rollout_id: str) -> str:
    return f"xr:rollout:{rollout_id}"


class Store:
    """Reads and writes rollouts. `writer` is unique to this process's life."""

    def __init__(self, client: redis.Redis, writer: str) -> None:
        self.client = client
        self.writer = writer
        self._save = client.register_script(SAVE_LUA)
        self._want = client.register_script(WANT_LUA)
        self._wish = client.register_script(WISH_LUA)
        self._own = client.register_script(OWN_LUA)

    def create(self, rollout: Rollout, planned: Planned, document: bytes, change: Change) -> None:
        """Write a new rollout, its plan and fleet; nothing starts before this has succeeded.

        Raises Taken when a host belongs to another rollout.
        """
        self.own(rollout.id, [host.name for host in planned.fleet.hosts])
        self.save_plan(rollout.id, rollout.generation, planned, document)
        self.client.hset(
            keys.control(rollout.id),
            mapping={
                "wanted": str(rollout.wanted),
                "epoch": rollout.epoch,
                "by": rollout.created_by,
            },
        )
        self.save(rollout, change)

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
        whole = payload(head, change, wanted)
        answer = self._save(keys=[_base(head.id)], args=[whole, before.version, self.writer])
        if text(answer) == "conflict":
            raise Conflict(head.id)
        return head

    def book(self, rollout_id: str) -> Book:
        """The whole rollout. Raises NoRollout."""
        head, steps, hosts, guests, waves = self.raw_book(rollout_id)
        return Book(
            Rollout.model_validate_json(head),
            {step.id: step for step in records(Step, steps)},
            {host.name: host for host in records(HostRecord, hosts)},
            {guest.name: guest for guest in records(GuestRecord, guests)},
            {wave.number: wave for wave in records(WaveRecord, waves)},
        )

    def raw_book(self, rollout_id: str) -> RawBook:
        """The whole rollout as it is kept. Raises NoRollout."""
        base = _base(rollout_id)
        with self.client.pipeline(transaction=True) as pipe:
            pipe.get(base)
            for table in RawBook._fields[1:]:
                pipe.hvals(f"{base}:{table}")
            found = RawBook(*pipe.execute())
        if found.head is None:
            raise NoRollout(rollout_id)
        return found

    def head(self, rollout_id: str) -> Rollout:
        """The rollout's head alone. Raises NoRollout."""
        head = cast("bytes | None", self.client.get(_base(rollout_id)))
        if head is None:
            raise NoRollout(rollout_id)
        return Rollout.model_validate_json(head)

    def ids(self) -> list[str]:
        """Every rollout's id, the newest last."""
        names = cast("list[bytes]", self.client.zrange("xr:rollouts", 0, -1))
        return [text(name) for name in names]

    def want(self, rollout_id: str, wanted: Wanted, by: str, reason: str, at: datetime) -> bool:
        """Tell hosts and controller what a person wants. False when it is aborted already."""
        answer = self._want(
            keys=[keys.control(rollout_id)], args=[str(wanted), by, reason, at.isoformat()]
        )
        return text(answer) == "ok"

    def wish(self, rollout_id: str, part: str, wish: PartWish) -> str:
        """Tell hosts and controller what a person wants of `wave:N` or `host:NAME`.

        Returns `ok`; `aborted` when the rollout, `part aborted` when the part is aborted already.
        """
        args = [part, wish.model_dump_json()]
        return text(self._wish(keys=[keys.control(rollout_id)], args=args))

    def approve(self, rollout_id: str, wave: int, approval: str) -> None:
        """Keep a person's word (JSON of a Hold) that a wave may go on; the controller takes it."""
        self.client.hset(keys.control(rollout_id), f"approve:{wave}", approval)

    def say_dead(self, rollout_id: str, host: str, said: str) -> None:
        """Keep a person's word (JSON of a Hold) that a host is dead; the controller takes it."""
        self.client.hset(keys.control(rollout_id), f"dead:{host}", said)

    def being_started(self, rollout_id: str) -> set[str]:
        """Attempts that a host has claimed and does not yet know the start of, by their ids."""
        hosts = [name for name, owner in self.owners().items() if owner == rollout_id]
        with self.client.pipeline(transaction=False) as pipe:
            for host in hosts:
                pipe.hgetall(keys.claims(host))
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
        claims = [(text(n), text(v)) for answer in answers for n, v in answer.items()]
        mine = [(name, value) for name, value in claims if name.startswith(f"{rollout_id}-")]
        return {name for name, value in mine if value != SETTLED}

    def control(self, rollout_id: str) -> dict[str, str]:
        """The control record: `wanted`, `epoch`, `by`, `reason`, `at`, and wishes for parts."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall(keys.control(rollout_id)))
        return {text(name): text(value) for name, value in raw.items()}

    def inventory(self) -> bytes | None:
        """The document that was applied last, or None."""
        return cast("bytes | None", self.client.get("xr:inventory"))

    def apply_inventory(self, document: bytes) -> None:
        """Keep a document that was checked."""
        self.client.set("xr:inventory", document)

    def advisories(self) -> dict[str, Advisory]:
        """Every advisory by its id."""
        raw = cast("list[bytes]", self.client.hvals("xr:advisories"))
        return {advisory.id: advisory for advisory in records(Advisory, raw)}

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
            host, owner = (text(part) for part in answer)
            raise Taken(f"host {host} belongs to rollout {owner}, which has not ended")

    def owners(self) -> dict[str, str]:
        """Which rollout may touch which host."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall("xr:owner"))
        return {text(host): text(owner) for host, owner in raw.items()}

    def disown(self, rollout_id: str) -> None:
        """Give the hosts of an ended rollout free."""
        mine = [name for name, owner in self.owners().items() if owner == rollout_id]
        if mine:
            self.client.hdel("xr:owner", *mine)
