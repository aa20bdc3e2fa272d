"""What the server denied its users: a host that tries what its own Redis user may not.

Read from the server's `ACL LOG`, which keeps the newest 128 denials until it is restarted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from redis.exceptions import ResponseError

from scheduler.host_acl import user

NAME = "xenroll_host_last_denied_timestamp_seconds"
OTHER = "other"
"""No host's user. A wrong name is anybody's text, so it is never a label itself."""


def denied(client: redis.Redis, hosts: Iterable[str], now_s: float) -> Metric:
    """When each host was denied something last; no series: never, or it may not be read."""
    words = "When the server last denied something to this host's user, and why."
    family = GaugeMetricFamily(NAME, words, labels=["host", "why"])
    for (host, why), age_s in sorted(newest(_log(client), hosts).items()):
        family.add_metric([host, why], now_s - age_s)
    return family


def newest(rows: Iterable[Mapping[str, Any]], hosts: Iterable[str]) -> dict[tuple[str, str], float]:
    """(host, why) -> seconds since the newest denial; why is auth, command, key or channel."""
    names = {user(host): host for host in hosts}
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        about = names.get(str(row["username"]), OTHER), str(row["reason"])
        found[about] = min(found.get(about, float("inf")), float(row["age-seconds"]))
    return found


def _log(client: redis.Redis) -> list[Mapping[str, Any]]:
    try:
        return cast("list[Mapping[str, Any]]", client.acl_log())
    except ResponseError:
        return []  # a server, or a user of it, that does not let us read it
