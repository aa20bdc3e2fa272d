#!/usr/bin/env python3
"""Print the line of an ACL file for the Redis or Valkey (7.0 or newer) user of one host's agent.

    python3 deploy/redis/agent-acl.py HOST < password >> /etc/valkey/users.acl

The user reads and writes this host's own keys, reads its orders and the rollouts' control records,
and nothing else: not another host's keys, no channel, no administration. The password is read from
standard input; only its SHA-256 is printed. Give the agent the same user in `redis_url` and the
password in `redis_password_file`.
"""

from __future__ import annotations

import sys

from scheduler.host_acl import line


def main() -> int:
    password = sys.stdin.readline().rstrip("\n")
    if len(sys.argv) != 2 or len(password) < 16:
        print("usage: agent-acl.py HOST < a password of 16 or more characters", file=sys.stderr)
        return 2
    print(line(sys.argv[1], password))
    return 0


if __name__ == "__main__":
    sys.exit(main())
