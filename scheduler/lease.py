"""One process of a kind leads at a time: a lease in Redis with an owner and an end."""

from __future__ import annotations

import redis

LEASE_KEY = "xr:controller"
LEASE_MS = 5_000

HOLD_LUA = """
-- KEYS: lease.  ARGV: owner, milliseconds.  Take it if free, keep it if mine, else say whose.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

DROP_LUA = """
-- KEYS: lease.  ARGV: owner.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class Lease:
    """Leadership of one process; `owner` is unique to its life."""

    def __init__(self, client: redis.Redis, owner: str, key: str = LEASE_KEY) -> None:
        self.owner = owner
        self.key = key
        self._hold = client.register_script(HOLD_LUA)
        self._drop = client.register_script(DROP_LUA)

    def hold(self) -> str:
        """Take or keep the lease; returns who has it now."""
        answer = self._hold(keys=[self.key], args=[self.owner, LEASE_MS])
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def drop(self) -> None:
        """Let another process lead at once."""
        self._drop(keys=[self.key], args=[self.owner])
