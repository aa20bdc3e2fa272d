"""What is watched, in Redis: kept over rollouts, and over restarts of the controller.

| key | what |
|---|---|
| `xr:watch:trials` | hash: attempt id -> Trial, while its guest is watched |
| `xr:watch:endings` | hash: domain -> Ending |
| `xr:watch:lives` | hash: host -> Lives, as last seen |
| `xr:watch:classes` | hash: class -> ClassMark |
| `xr:watch:hours` | hash: [day, `moved` or `other`, class, build, build] -> guest-milliseconds |
| `xr:watch:past` | hash: [class, build, build, what] -> count of moves that are watched no more |
| `xr:watch:events` | stream of happenings: quarantines, releases, alarms |
| `xr:watch:saved` | the newest save: the same one again changes nothing; `xr:watch:at` its time |
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar, cast

import redis
from pydantic import BaseModel

from scheduler.classes import outcome
from scheduler.guest_hours import Group
from scheduler.rollout import Happening, Hold
from scheduler.watched import ClassKey, ClassMark, Ending, GuestHours, Lives, Trial

SAVE_LUA = """
-- KEYS[1]: prefix.  ARGV: the change as JSON, the save's name.  All of it, once.
local base = KEYS[1]
if redis.call('GET', base .. 'saved') == ARGV[2] then return 'again' end
redis.call('SET', base .. 'saved', ARGV[2])
local change = cjson.decode(ARGV[1])
redis.call('SET', base .. 'at', change.at)
for _, e in ipairs(change.endings) do redis.call('HSETNX', base .. 'endings', e[1], e[2]) end
for _, t in ipairs(change.trials) do redis.call('HSET', base .. 'trials', t[1], t[2]) end
for _, l in ipairs(change.lives) do redis.call('HSET', base .. 'lives', l[1], l[2]) end
for _, m in ipairs(change.marks) do redis.call('HSET', base .. 'classes', m[1], m[2]) end
for _, h in ipairs(change.hours) do redis.call('HINCRBY', base .. 'hours', h[1], h[2]) end
for _, p in ipairs(change.past) do
  if redis.call('HDEL', base .. 'trials', p[1]) == 1 then
    for _, count in ipairs(p[2]) do redis.call('HINCRBY', base .. 'past', count[1], count[2]) end
  end
end
for _, name in ipairs(change.old_hours) do redis.call('HDEL', base .. 'hours', name) end
for _, name in ipairs(change.old_endings) do redis.call('HDEL', base .. 'endings', name) end
for _, line in ipairs(change.events) do
  redis.call('XADD', base .. 'events', 'MAXLEN', '~', '10000', '*', 'h', line)
end
return 'saved'
"""

RELEASE_LUA = """
-- KEYS: classes, events.  ARGV: class, the mark that was read, the new mark, the event.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 'changed' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', 'h', ARGV[4])
return 'released'
"""

Record = TypeVar("Record", bound=BaseModel)
BASE = "xr:watch:"


@dataclass
class Saving:
    """What one save writes."""

    at: datetime
    endings: list[Ending] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    lives: list[Lives] = field(default_factory=list)
    marks: list[ClassMark] = field(default_factory=list)
    seen_ms: dict[Group, int] = field(default_factory=dict)
    past: list[Trial] = field(default_factory=list)  # watched no more: counts are kept
    events: list[Happening] = field(default_factory=list)
    old_hours: list[str] = field(default_factory=list)
    old_endings: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        lists = (self.endings, self.trials, self.lives, self.marks, self.past, self.events)
        return any(lists) or bool(self.seen_ms or self.old_hours or self.old_endings)

    def json(self) -> str:
        """As the script takes it."""
        day = self.at.date().isoformat()
        return json.dumps(
            {
                "at": self.at.isoformat(),
                "endings": [[e.id, e.model_dump_json()] for e in self.endings],
                "trials": [[t.id, t.model_dump_json()] for t in self.trials],
                "lives": [[one.host, one.model_dump_json()] for one in self.lives],
                "marks": [[m.guest_class, m.model_dump_json()] for m in self.marks],
                "hours": [[_hours_field(day, g), ms] for g, ms in self.seen_ms.items() if ms],
                "past": [[t.id, _past_fields(t)] for t in self.past],
                "events": [event.model_dump_json() for event in self.events],
                "old_hours": self.old_hours,
                "old_endings": self.old_endings,
            }
        )


def _hours_field(day: str, group: Group) -> str:
    name, key = group
    return json.dumps([day, name, key.guest_class, key.build_from, key.build_to])


def _past_fields(trial: Trial) -> list[list[object]]:
    key = trial.key
    return [
        [json.dumps([key.guest_class, key.build_from, key.build_to, what]), number]
        for what, number in outcome(trial).items()
    ]


class WatchStore:
    """Reads and writes it. `writer` is unique to this process's life."""

    def __init__(self, client: redis.Redis, writer: str) -> None:
        self.client = client
        self.writer = writer
        self._number = 0
        self._save = client.register_script(SAVE_LUA)
        self._release = client.register_script(RELEASE_LUA)

    def save(self, saving: Saving) -> None:
        """All or nothing; a call that is repeated after a lost reply counts nothing twice."""
        self._number += 1
        self._save(keys=[BASE], args=[saving.json(), f"{self.writer} {self._number}"])

    def trials(self) -> list[Trial]:
        """Every move whose guest is watched."""
        return self._all(Trial, "trials")

    def endings(self) -> list[Ending]:
        """Every domain that ended without a step of ours, the oldest first."""
        return sorted(self._all(Ending, "endings"), key=lambda ending: (ending.at, ending.id))

    def lives(self) -> list[Lives]:
        """Every host's guests as last seen."""
        return self._all(Lives, "lives")

    def marks(self) -> dict[str, ClassMark]:
        """What was decided of classes."""
        return {mark.guest_class: mark for mark in self._all(ClassMark, "classes")}

    def at(self) -> datetime | None:
        """When the newest save was made."""
        raw = cast("bytes | None", self.client.get(f"{BASE}at"))
        return datetime.fromisoformat(raw.decode()) if raw else None

    def hours(self) -> list[GuestHours]:
        """Guest-hours by day, group and class."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall(f"{BASE}hours"))
        found = []
        for name, ms in raw.items():
            day, group, guest_class, build_from, build_to = json.loads(name)
            key = ClassKey(guest_class=guest_class, build_from=build_from, build_to=build_to)
            hours = int(ms) / 3_600_000
            one = GuestHours(field=name.decode(), day=day, group=group, key=key, hours=hours)
            found.append(one)
        return found

    def past(self) -> dict[ClassKey, dict[str, int]]:
        """Counts of moves that are watched no more, by class."""
        raw = cast("dict[bytes, bytes]", self.client.hgetall(f"{BASE}past"))
        found: defaultdict[ClassKey, dict[str, int]] = defaultdict(dict)
        for name, number in raw.items():
            guest_class, build_from, build_to, what = json.loads(name)
            key = ClassKey(guest_class=guest_class, build_from=build_from, build_to=build_to)
            found[key][what] = int(number)
        return dict(found)

    def events(self, newest: int) -> list[Happening]:
        """Quarantines, releases and alarms, the oldest first."""
        raw = self.client.xrevrange(f"{BASE}events", count=newest)
        entries = cast("Sequence[tuple[bytes, dict[bytes, bytes]]]", raw)
        return [Happening.model_validate_json(fields[b"h"]) for _, fields in reversed(entries)]

    def release(self, guest_class: str, by: str, reason: str, at: datetime) -> bool:
        """Let a quarantined class be moved again, forgiving its crashes so far. False: it is not.

        Tried again where somebody wrote the mark in between.
        """
        while True:
            raw = cast("bytes | None", self.client.hget(f"{BASE}classes", guest_class))
            mark = ClassMark.model_validate_json(raw) if raw else None
            if raw is None or mark is None or mark.quarantine is None:
                return False
            hold = Hold(reason=reason, since=at, by=by)
            new = mark.model_copy(update={"quarantine": None, "released": hold})
            text = f"class {guest_class} by {by}: {reason}"
            event = Happening(at=at, kind="released", text=text).model_dump_json()
            names = [f"{BASE}classes", f"{BASE}events"]
            args: list[str | bytes] = [guest_class, raw, new.model_dump_json(), event]
            if self._release(keys=names, args=args) == b"released":
                return True

    def _all(self, model: type[Record], name: str) -> list[Record]:
        raw = cast("list[bytes]", self.client.hvals(f"{BASE}{name}"))
        return [model.model_validate_json(value) for value in raw]
