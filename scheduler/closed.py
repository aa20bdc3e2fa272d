"""Which hosts are closed to new guests: one key for whoever places guests, beside the API's path.

`xr:closed` is a hash: host -> `{"rollout": …, "reason": …, "since": …}`. It is written by the same
script that writes a rollout's records, so it never says anything else than they do, and an entry
is gone with the end of its rollout. Who places guests needs no more than `HEXISTS xr:closed HOST`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import redis

from scheduler.frozen import Frozen
from scheduler.rollout import ENDED, Change, HostRecord, HostState, Rollout

KEY = "xr:closed"

CLOSED_LUA = """
-- Hosts that take no new guests: an entry names its rollout, which alone may take it away.
local function mine(entry) return entry and cjson.decode(entry).rollout == change.closed.rollout end
for host, entry in pairs(change.closed.hosts) do redis.call('HSET', 'xr:closed', host, entry) end
for _, host in ipairs(change.closed.open) do
  if mine(redis.call('HGET', 'xr:closed', host)) then redis.call('HDEL', 'xr:closed', host) end
end
if change.closed.over then
  local all = redis.call('HGETALL', 'xr:closed')
  for i = 1, #all, 2 do
    if mine(all[i + 1]) then redis.call('HDEL', 'xr:closed', all[i]) end
  end
end
"""
"""A part of `SAVE_LUA`: `change.closed` is what `closing` gives."""

REASONS = {
    HostState.DRAINING: "is being emptied",
    HostState.REBOOTING: "reboots",
    HostState.BLOCKED: "is blocked",
}


class ClosedHost(Frozen):
    """A host that takes no new guests, for which rollout and since when."""

    host: str
    rollout: str
    reason: str
    since: datetime | None


def closing(head: Rollout, change: Change) -> dict[str, Any]:
    """What a change closes and opens, for `CLOSED_LUA`."""
    over = head.state in ENDED
    hosts = [] if over else [host for host in change.hosts.values() if host.closed]
    return {
        "rollout": head.id,
        "hosts": {host.name: _entry(head, host) for host in hosts},
        "open": [host.name for host in change.hosts.values() if not host.closed],
        "over": over,
    }


def _entry(head: Rollout, host: HostRecord) -> str:
    # Whoever may read this may not know the advisory yet: the rollout's id is made of its codename.
    reason = f"{host.name} {REASONS.get(host.state, 'is closed')} in rollout {head.id}"
    since = host.since.isoformat() if host.since else None
    return json.dumps({"rollout": head.id, "reason": reason, "since": since})


def closed_hosts(client: redis.Redis) -> list[ClosedHost]:
    """Every closed host, by name. An entry whose rollout is not there any more counts for nothing.

    Raises redis errors.
    """
    raw = cast("Mapping[bytes, bytes]", client.hgetall(KEY))
    entries = {name.decode(): json.loads(entry) for name, entry in raw.items()}
    rollouts = sorted({entry["rollout"] for entry in entries.values()})
    there = {name for name in rollouts if client.exists(f"xr:rollout:{name}")}
    return [
        ClosedHost(host=name, **entries[name])
        for name in sorted(entries)
        if entries[name]["rollout"] in there
    ]
