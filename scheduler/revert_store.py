"""Reverts of live patches in Redis.

| key | what |
|---|---|
| `xr:reverts` | hash: host and payload -> Revert, JSON: the newest one |
| `xr:control:ID` | lets the host begin, as a rollout's does, while the revert is open |

A person's process writes a new record; from then on only the controller changes it.
"""

from __future__ import annotations

from typing import cast

import redis

from agents.keys import REVOKE_LUA, host_slug, keys
from agents.wire import Wanted
from scheduler.choice import Withheld
from scheduler.reverts import OPEN, Revert, RevertState, withheld

KEY = "xr:reverts"

ASK_LUA = """
-- KEYS: reverts.  ARGV: field, the new revert.  What is under way is asked for once.
local before = redis.call('HGET', KEYS[1], ARGV[1])
local state = before and cjson.decode(before).state
if state == 'asked' or state == 'ordered' then return before end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return false
"""

PUT_LUA = """
-- KEYS: reverts.  ARGV: field, the revert's id, the revert.  Nothing, if it was replaced meanwhile.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or cjson.decode(before).id ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""

ALLOW_LUA = """
-- KEYS: reverts.  ARGV: field.  Forgets one that is over, and returns it.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or cjson.decode(before).state ~= 'reverted' then return before end
redis.call('HDEL', KEYS[1], ARGV[1])
return before
"""


class RevertStore:
    """Reads and writes reverts. Every method raises redis errors."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._ask = client.register_script(ASK_LUA)
        self._put = client.register_script(PUT_LUA)
        self._allow = client.register_script(ALLOW_LUA)
        self._revoke = client.register_script(REVOKE_LUA)

    def all(self) -> list[Revert]:
        """The newest revert of each payload on each host."""
        raw = cast("list[bytes]", self.client.hvals(KEY))
        found = (Revert.model_validate_json(one) for one in raw)
        return sorted(found, key=lambda one: (one.host, one.payload))

    def withheld(self) -> dict[str, tuple[Withheld, ...]]:
        """Host -> what no rollout loads there."""
        return withheld(self.all())

    def ask(self, revert: Revert) -> Revert | None:
        """Write down what a person wants; the one that is under way already, where there is one."""
        args = [_field(revert.host, revert.payload), revert.model_dump_json()]
        raw = cast("bytes | None", self._ask(keys=[KEY], args=args))
        return Revert.model_validate_json(raw) if raw else None

    def put(self, revert: Revert) -> None:
        """Write how far it has come."""
        field = _field(revert.host, revert.payload)
        self._put(keys=[KEY], args=[field, revert.id, revert.model_dump_json()])

    def allow(self, host: str, payload: str) -> Revert | None:
        """Let a reverted payload be loaded again; returns its revert.

        One that is open, or failed, is returned and kept; None where there is none.
        """
        raw = cast("bytes | None", self._allow(keys=[KEY], args=[_field(host, payload)]))
        return Revert.model_validate_json(raw) if raw else None

    def order(self, revert: Revert) -> None:
        """Give its host the order, and leave to begin. The same again changes nothing."""
        assert revert.state in OPEN
        with self.client.pipeline(transaction=True) as pipe:
            pipe.hset(
                keys.control(revert.id),
                mapping={"wanted": str(Wanted.RUN), "epoch": 1, "by": revert.by},
            )
            order = revert.order.model_dump_json()
            pipe.hset(keys.orders(revert.host), revert.attempt_id, order)
            pipe.execute()

    def take_back(self, revert: Revert) -> bool:
        """Take the order back; False where the host has begun."""
        names = [keys.orders(revert.host), keys.claims(revert.host)]
        return bool(self._revoke(keys=names, args=[revert.attempt_id]) == b"revoked")

    def call_off(self, revert: Revert) -> None:
        """Whoever asks for leave to begin from now on is refused."""
        assert revert.state in OPEN
        self.client.hset(keys.control(revert.id), "wanted", str(Wanted.ABORT))

    def clear(self, revert: Revert) -> None:
        """It is over: take the order and what went with it away."""
        assert revert.state in (RevertState.REVERTED, RevertState.FAILED)
        with self.client.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.orders(revert.host), revert.attempt_id)
            pipe.hdel(keys.claims(revert.host), revert.attempt_id)
            pipe.delete(keys.control(revert.id))
            pipe.execute()


def _field(host: str, payload: str) -> str:
    return f"{host_slug(host)} {payload}"
