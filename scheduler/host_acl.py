"""What the Redis user of one host's agent may do: its own keys, and nothing of anybody else's.

Tried by attacking it in `tests/test_agents_acl.py`. Needs Redis or Valkey 7.0 or newer.
"""

from __future__ import annotations

import hashlib

from agents.keys import host_slug

OWN = """
xr:host:{slug}:*
rq:queue:host-{slug} rq:queue:host-{slug}:*
rq:job:{slug}-* rq:job::{slug}-*
rq:results:{slug}-* rq:execution:{slug}-* rq:executions:{slug}-*
rq:wip:host-{slug} rq:finished:host-{slug} rq:failed:host-{slug} rq:deferred:host-{slug}
rq:scheduled:host-{slug} rq:canceled:host-{slug} rq:ready:host-{slug}
rq:worker:{slug}-* rq:workers:host-{slug} rq:clean_registries:host-{slug}
"""

READ = "xr:order:{slug}:* xr:control:* rq:suspended"

COMMANDS = """
ping info client|setname client|info client|id hello select
multi exec discard watch unwatch eval evalsha script|load
get set del exists expire persist ttl
hget hgetall hset hsetnx hdel hkeys hexists hlen hmget hincrby hincrbyfloat
blmove blpop lpush rpush lrange lrem lpos llen lmove
sadd srem smembers scard sismember sscan
zadd zrem zrange zrangebyscore zremrangebyscore zscore zcard zcount
xadd xrevrange xrange
"""

SINCE_7_2 = ("client|setinfo",)
"""Asked for by clients on servers that have it. An older one refuses a rule that names it."""

SHARED = """
(~rq:workers ~rq:queues +sadd +srem)
(%R~rq:rl-keys %R~rq:groups +smembers +exists +sscan)
(~rq:clean_groups +set)
"""
"""What RQ keeps for all workers together; nobody trusts it."""


def user(host: str) -> str:
    """The name of a host's user: `agent-` and the host's name as its keys spell it."""
    return f"agent-{host_slug(host)}"


def rules(host: str, password: str, before_7_2: bool = False) -> list[str]:
    """The rules of a host's user, as `ACL SETUSER` takes them one by one; also for old servers."""
    slug = host_slug(host)
    parts = ["on", f"#{hashlib.sha256(password.encode()).hexdigest()}"]
    parts += ["resetkeys", "resetchannels", "-@all"]
    parts += [f"~{pattern}" for pattern in OWN.format(slug=slug).split()]
    parts += [f"%R~{pattern}" for pattern in READ.format(slug=slug).split()]
    newer = () if before_7_2 else SINCE_7_2
    parts += [f"+{command}" for command in (*COMMANDS.split(), *newer)]
    return [*parts, *SHARED.strip().splitlines()]
