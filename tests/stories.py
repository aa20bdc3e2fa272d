"""Whole rollouts as files that an operator can read: `tests/stories/*.yaml`.

A story names a fleet, a policy, what goes wrong and what people do, and what is expected: how the
rollout ends, where every host and guest stands then, and lines of the event log in their order.
The real controller plays it on a real server with a virtual clock. To watch one:

    python -m tests.stories tests/stories/NAME.yaml
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planner.fleet import Fleet
from scheduler.limits import Limits
from tests.make import fleet, guest, host
from tests.sim_endings import ENDINGS

FOLDER = Path(__file__).parent / "stories"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Deed(_Part):
    """Something that happens: at a time, or a while after a line of the log; one verb each."""

    at_s: float | None = None
    after: str | None = None  # a line of the log, `*` for anything
    wait_s: float = 0.0

    pause: str | None = None  # the reason
    resume: str | None = None
    abort: str | None = None
    silent: list[str] = []  # hosts whose agents say nothing any more
    heard: list[str] = []  # hosts that report again
    dies: list[str] = []  # hosts that lose power with everything on them
    returns: list[str] = []  # hosts that power on, empty, with a new boot id
    shut_down: list[str] = []  # guests, by their owners
    create: dict[str, str] = {}  # new guest of 1 GiB: host
    carry: dict[str, str] = {}  # guest: host where somebody else has moved it
    faults: dict[str, str | list[str]] = {}
    no_controller_s: float = 0.0  # it is down for so long
    release: str | None = None  # a quarantined class, by a person


class Expected(_Part):
    """How it has to end. Guests run exactly once where nothing else is said."""

    state: str
    fixed: list[str] | str = "all"
    blocked: dict[str, str] = {}  # host: part of the reason
    waiting: list[str] = []
    gone: list[str] = []  # guests that run nowhere
    twice: list[str] = []
    restarted: list[str] = []
    rebooted: list[str] | str = "fixed"  # each once
    hold: str | None = None  # part of what holds the rollout
    log: list[str] = []  # these lines in this order, others between them
    never: list[str] = []


class Story(_Part):
    """One file."""

    title: str
    rows: list[str] = []  # of the failure tables that it plays
    hosts: dict[str, float | dict[str, Any]]  # GiB, or all that a host can be given
    guests: dict[str, str | dict[str, Any]]  # `HOST GIB`, or all that a guest can be given
    policy: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    consents: list[str] = []  # guests whose owners agreed to a restart if they refuse
    faults: dict[str, str | list[str]] = {}
    wrong_builds: list[str] = []
    lost_hosts: list[str] = []
    until_s: float = Field(default=20_000, gt=0)
    timeline: list[Deed] = []
    expected: Expected

    def fleet(self) -> Fleet:
        """The fleet at the start."""
        hosts = [
            host(n, **(h if isinstance(h, dict) else {"gib": h})) for n, h in self.hosts.items()
        ]
        guests = [guest(name, **_guest(facts)) for name, facts in self.guests.items()]
        return fleet(hosts, guests, **{"canary_hosts": 1, "gates": "canary"} | self.policy)

    def checked_limits(self) -> Limits:
        """The times and counts to keep to."""
        return Limits.model_validate(self.limits)


def _guest(facts: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(facts, dict):
        return {"on" if name == "host" else name: fact for name, fact in facts.items()}
    on, gib = facts.split()
    return {"on": on, "gib": float(gib)}


class BadStory(Exception):
    """A story file is not one; says which field and what was expected."""


def read(path: Path) -> Story:
    """The story of a file. Raises BadStory."""
    try:
        story = Story.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise BadStory(f"{path.name}: no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadStory(f"{path.name}: {where}: {first['msg']}") from None
    for name, fault in story.faults.items():
        for one in [fault] if isinstance(fault, str) else fault:
            if one not in ENDINGS and one != "stays_up":
                raise BadStory(f'{path.name}: faults.{name}: no ending is called "{one}"')
    return story


def every() -> list[Path]:
    """The files of all stories."""
    return sorted(FOLDER.glob("*.yaml"))


def fits(line: str, pattern: str) -> bool:
    """Whether a line of the log begins as a pattern says; `*` stands for anything."""
    return fnmatchcase(line, pattern.replace("[", "[[]") + "*")


def missing_line(log: list[str], wanted: list[str]) -> str | None:
    """The first wanted line that does not follow the ones before it, or None."""
    lines = iter(log)
    for pattern in wanted:
        if not any(fits(line, pattern) for line in lines):
            return pattern
    return None


if __name__ == "__main__":
    from tests.story_player import watch

    for name in sys.argv[1:]:
        watch(read(Path(name)))
