#!/usr/bin/env python3
"""Print the line of an ACL file for the Redis or Valkey (7.0 or newer) user of one host's agent.

    python3 deploy/redis/agent-acl.py HOST < password >> /etc/valkey/users.acl

The user reads and writes this host's own keys, reads its orders and the rollouts' control records,
and nothing else: not another host's keys, no channel, no administration. The password is read from
standard input; only its SHA-256 is printed. Give the agent the same user in `redis_url` and the
password in `redis_password_file`.
"""

from __future__ import annotations

import hashlib
import sys

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
ping info client|setname client|setinfo client|info client|id hello select
multi exec discard watch unwatch eval evalsha script|load
get set del exists expire persist ttl
hget hgetall hset hsetnx hdel hkeys hexists hlen hmget hincrby hincrbyfloat
blmove blpop lpush rpush lrange lrem lpos llen lmove
sadd srem smembers scard sismember sscan
zadd zrem zrange zrangebyscore zremrangebyscore zscore zcard zcount
xadd xrevrange xrange
"""

SHARED = """
(~rq:workers ~rq:queues +sadd +srem)
(%R~rq:rl-keys %R~rq:groups +smembers +exists +sscan)
(~rq:clean_groups +set)
"""
"""What RQ keeps for all workers together; nobody trusts it."""


def line(host: str, password: str) -> str:
    """The user's name is `agent-` and the host's name as its keys spell it."""
    slug = host_slug(host)
    parts = [f"user agent-{slug} on #{hashlib.sha256(password.encode()).hexdigest()}"]
    parts.append("resetkeys resetchannels -@all")
    parts += [f"~{pattern}" for pattern in OWN.format(slug=slug).split()]
    parts += [f"%R~{pattern}" for pattern in READ.format(slug=slug).split()]
    parts += [f"+{command}" for command in COMMANDS.split()]
    return " ".join([*parts, *SHARED.strip().splitlines()])


def main() -> int:
    password = sys.stdin.readline().rstrip("\n")
    if len(sys.argv) != 2 or len(password) < 16:
        print("usage: agent-acl.py HOST < a password of 16 or more characters", file=sys.stderr)
        return 2
    print(line(sys.argv[1], password))
    return 0


if __name__ == "__main__":
    sys.exit(main())
