"""Whether this host can reach the disks of a guest that is to come here: looked at, not kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from agents import disk_probe
from agents.command import CommandError
from agents.helper import Helper
from agents.settings import Settings
from agents.wire_disk import DiskFound

ISOLATED = ("-I", "-S")
SLACK_S = 5.0
"""For the probe to start and to say what it has, beside the time that it gives the disks."""

FOUND = TypeAdapter(tuple[DiskFound, ...])
MOST = 200
"""Paths at once; who asks for more has not asked for a move."""


class Disks:
    """Answers what the controller asks; see `scheduler.disk_gate`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        python = settings.python or sys.executable
        self._probe = Helper((python, *ISOLATED, disk_probe.__file__))

    def find(self, targets: Sequence[str]) -> tuple[DiskFound, ...]:
        """What is at each of these paths now. Never raises: what fails is each one's problem."""
        wanted = [one for one in dict.fromkeys(targets) if one.startswith("/")][:MOST]
        if not wanted:
            return ()
        paths = {str(self._settings.path(target)): target for target in wanted}
        question = {
            "paths": list(paths),
            "sys": str(self._settings.path("/sys")),
            "limit_s": self._settings.disk_limit_s,
        }
        try:
            limit_s = self._settings.disk_limit_s + SLACK_S
            said = self._probe.ask(json.dumps(question), limit_s)
            found = FOUND.validate_json(said)
        except (CommandError, ValidationError) as error:
            problem = f"cannot be looked at: {error}"[:300]
            return tuple(DiskFound(target=target, problem=problem) for target in wanted)
        if any(one.problem.startswith(disk_probe.LATE) for one in found):
            self._probe.leave()  # a thread of it still waits: the next question goes to another
        return tuple(one.model_copy(update={"target": paths[one.target]}) for one in found)


def asked_for(raw: bytes | str | None) -> tuple[str, ...]:
    """The paths that the controller asks for; none where its words cannot be read."""
    try:
        found = json.loads(raw) if raw is not None else []
    except ValueError:
        return ()
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
