"""Notices to guests: before a guest is moved or shut down, its xenstore says so.

The controller writes what a guest is to be told; this puts it where the guest can read and watch
it, `data/xenroll/notice` below the guest's own home, as JSON:

    {"schema": "xenroll.notice/1", "action": "move", "not_before": TIME, "expected_at": TIME}

The node inherits the permissions of `data`, which is the guest's: the guest reads it, and may
remove it. A guest that arrives somewhere has a new home without the node: then it is over. Where
the guest stays after all, the node is removed as soon as the controller takes the notice back, by
the same life of the agent: what was written before a restart is left there.

Nothing depends on it: what fails here is logged, left alone for a minute, and holds up no look.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import redis
from pydantic import ValidationError

from agents.command import CommandError, run
from agents.keys import keys
from agents.settings import Settings
from agents.wire import Name, Report, Wire

log = logging.getLogger("agent.notices")

SCHEMA = "xenroll.notice/1"
NODE = "data/xenroll/notice"
LIMIT_S = 2.0
MOST_AT_ONCE = 10
"""Between two looks, so that many notices do not make a report late."""
REST_S = 60.0


class Notice(Wire):
    """What a guest is told. Times are those of the controller's clock."""

    guest: Name
    action: Literal["move", "restart"]
    not_before: datetime
    expected_at: datetime

    def text(self) -> str:
        """The node's value: nothing of which advisory it is for."""
        said = {
            "schema": SCHEMA,
            "action": self.action,
            "not_before": self.not_before.isoformat(),
            "expected_at": self.expected_at.isoformat(),
        }
        return json.dumps(said)


def write_argv(settings: Settings, domid: int, text: str) -> tuple[str, ...]:
    """Put a notice into a guest's xenstore."""
    return (*settings.xenstore_write, f"/local/domain/{domid}/{NODE}", text)


def remove_argv(settings: Settings, domid: int) -> tuple[str, ...]:
    """Take it out again."""
    return (*settings.xenstore_rm, f"/local/domain/{domid}/{NODE}")


class Notices:
    """What this life of the agent has put into guests' xenstore."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._written: dict[str, tuple[int, str]] = {}  # guest -> its domid, what it was told
        self._rest_until_s = float("-inf")

    def tend(self, client: redis.Redis, report: Report, clock_s: float) -> None:
        """Make the guests' xenstore say what is wanted. Raises redis errors, and nothing else."""
        if not self._settings.xenstore_write or clock_s < self._rest_until_s:
            return
        wanted = self._wanted(client)
        if not wanted and not self._written:
            return
        here = {guest.name: guest.domid for guest in report.guests}
        try:
            self._write(wanted, here)
            self._remove(wanted, here)
        except CommandError as error:
            log.warning("a guest was not told: %s", error)
            self._rest_until_s = clock_s + REST_S

    def _wanted(self, client: redis.Redis) -> dict[str, Notice]:
        raw = client.hgetall(keys.notices(self._settings.host))
        assert isinstance(raw, dict)
        found = {}
        for value in raw.values():
            try:
                notice = Notice.model_validate_json(value)
            except ValidationError:
                log.warning("a notice cannot be read")
                continue
            found[notice.guest] = notice
        return found

    def _write(self, wanted: Mapping[str, Notice], here: Mapping[str, int]) -> None:
        due = {
            name: (domid, wanted[name].text())
            for name, domid in here.items()
            if name in wanted and self._written.get(name) != (domid, wanted[name].text())
        }
        for name in sorted(due)[:MOST_AT_ONCE]:
            domid, text = due[name]
            run(write_argv(self._settings, domid, text), LIMIT_S)
            self._written[name] = due[name]

    def _remove(self, wanted: Mapping[str, Notice], here: Mapping[str, int]) -> None:
        over = [name for name in sorted(self._written) if name not in wanted]
        for name in over[:MOST_AT_ONCE]:
            domid, _ = self._written.pop(name)
            if here.get(name) == domid:
                run(remove_argv(self._settings, domid), LIMIT_S)
