"""Asks hosts, through Redis, to look at paths of disks with their next looks."""

from __future__ import annotations

import json
from collections.abc import Callable

import redis

from agents.keys import keys
from scheduler.disk_gate import Questions

ASKED_FOR_S = 5
"""Until a host has looked; what is not answered by then is asked again with the next round."""


class DiskQuestions:
    """What this controller asks now. The answers are in the hosts' reports."""

    def __init__(self, client: redis.Redis, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._asked_s: dict[str, dict[str, float]] = {}

    def ask(self, questions: Questions) -> None:
        """To be called before the hosts are asked to look. Raises redis errors."""
        now_s = self._monotonic()
        for host, paths in questions:
            asked = self._asked_s.get(host, {}) | dict.fromkeys(paths, now_s)
            young = {path: at for path, at in asked.items() if now_s - at < ASKED_FOR_S}
            self._asked_s[host] = young
            self._client.set(keys.disks(host), json.dumps(sorted(young)), ex=ASKED_FOR_S)
