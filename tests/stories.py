"""Whole rollouts as files that an operator can read: `tests/stories/*.yaml`.

A story names a fleet, a policy, what goes wrong and what people do, and what is expected: how the
rollout ends, where every host and guest stands then, and lines of the event log in their order.
The real controller plays it on a real server with a virtual clock. How to write one:
`tests/stories/README.md`. To watch one:

    python -m tests.stories tests/stories/NAME.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from planner.fleet import Fleet
from scheduler.advisory import Advisory, payload_name
from scheduler.gates import GatePolicy
from scheduler.limits import Limits
from tests.make import fleet, guest, host
from tests.sim import NEW, OLD

FOLDER = Path(__file__).parent / "stories"
BUILDS = {"old": OLD, "new": NEW}

How = Literal["crashed", "asked", "unknown"]
"""What xl's log says of a guest that ended: it crashed, its owner wanted it, or nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Becomes(_Part):
    """How a host is from now on, or after its reboot."""

    without: list[str] | None = None  # of what it offers; empty: it has everything again
    livepatches: list[str] | None = None
    microcode: str | None = None
    xenstored: Literal["dead", "alive"] | None = None


class Deed(_Part):
    """Something that happens: at a time, or a while after lines of the log."""

    at_s: float | None = None
    after: str | None = None  # a line of the log, `*` for anything
    every: str | None = None  # the same, but each time; `it` is the guest of that line
    wait_s: float = 0.0

    # What people want: of the rollout, or `of: wave 2`, `of: host h1`.
    pause: str | None = None  # the reason
    resume: str | None = None
    abort: str | None = None
    approve: str | None = None  # of a wave
    dead: str | None = None  # a person says that a silent host is (`of: host h1`)
    of: str = "rollout"
    refused: str = ""  # part of the words with which they are refused
    release: str | None = None  # a quarantined class of guests

    silent: list[str] = []  # hosts whose agents say nothing any more
    heard: list[str] = []  # hosts that report again
    dies: list[str] = []  # hosts that lose power with everything on them
    returns: list[str] = []  # hosts that power on, empty, with a new boot id
    reboots: list[str] = []  # hosts that restart by themselves, and their guests with them
    becomes: dict[str, Becomes] = {}
    agents: list[str] = []  # hosts whose agents end and start anew
    clocks: dict[str, float] = {}  # hosts whose clocks are wrong from now on: by so many seconds

    create: dict[str, str] = {}  # new guest of 1 GiB: host
    carry: dict[str, str] = {}  # guest: host where somebody else has moved it
    shut_down: list[str] = []  # guests, by their owners
    start: dict[str, str] = {}  # guest that is shut down: host where somebody starts it
    rename: dict[str, str] = {}  # guest: the name that its owner gives it
    restarts: dict[str, How] = {}  # guests that come back as new domains
    stays_crashed: list[str] = []  # guests that crash and are kept for whoever looks
    monitor_dies: list[str] = []  # guests that xl watches no more
    faults: dict[str, str | list[str]] = {}

    alerts: dict[str, Literal["firing", "silenced", "resolved"]] = {}
    unasked: bool | None = None  # whether the sources of alerts give no answer
    hooks: dict[str, int | list[int | None] | None] = {}  # `STAGE HOST`: its exit codes from now
    no_controller_s: float = 0.0  # it is down for so long
    loses_s: float = 0.0  # the server falls back to what it held so long ago


class Line(_Part):
    """A line of the log and more about it than that it comes after the one before."""

    line: str
    at_least_s: float | None = None  # after the line before, or the beginning
    at_most_s: float | None = None
    without: list[str] = []  # no such line since the line before


class Held(_Part):
    """What holds something, by whom, and for how long it has; a text alone is the reason."""

    reason: str = ""  # part of it
    by: str = ""
    at_least_s: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, said: Any) -> Any:
        return {"reason": said} if isinstance(said, str) else said


class Expected(_Part):
    """How it has to end. Guests run exactly once where nothing else is said."""

    state: str
    fixed: list[str] | str = "all"  # but those that are blocked or opened
    blocked: dict[str, str] = {}  # host: part of the reason
    opened: dict[str, str] = {}  # hosts left out: part of the reason
    waiting: list[str] = []
    closed: list[str] = []
    gone: list[str] = []  # guests that run nowhere
    twice: list[str] = []
    restarted: list[str] = []
    crashed: list[str] | None = None
    quarantined: list[str] = []
    rebooted: list[str] | str = "fixed"  # each once
    livepatches: dict[str, list[str]] = {}  # host: what is applied, in order
    hooks: dict[str, list[str]] = {}  # host: the stages whose hooks ran, in order
    hold: str | None = None  # part of what holds the rollout
    holds: dict[str, Held] = {}  # `wave 2`, `host h1`, `guest g0`: part of what holds it
    watched: list[str] = []  # lines of the watch over guests, such as `alarm: `, in this order
    compared: str = ""  # part of what `xenroll crash compare` says at the end
    log: list[str | Line] = []  # these lines in this order, others between them
    never: list[str] = []


class Story(_Part):
    """One file."""

    title: str
    rows: list[str] = []  # of the failure tables that it plays (`tests.failure_tables`)
    hosts: dict[str, float | dict[str, Any]]  # GiB, or all that a host can be given
    guests: dict[str, str | dict[str, Any]]  # `HOST GIB`, or all that a guest can be given
    policy: dict[str, Any] = {}
    gates: dict[str, Any] = {}  # as in the inventory
    limits: dict[str, Any] = {}
    advisories: list[dict[str, Any]] = []  # as in their files; builds are `old` and `new`
    keeps: list[dict[str, Any]] = []  # others that hosts are live-patched for
    livepatch: bool = True
    livepatches: dict[str, list[str]] = {}  # host: what is applied at the start
    without_payloads: list[str] = []  # hosts on which the files are missing
    patch_exits: dict[str, list[int]] = {}  # host: exit codes of its attempts, then 0
    comes_back: dict[str, Becomes] = {}  # hosts after their reboot
    consents: list[str] = []  # guests whose owners agreed to a restart if they refuse
    faults: dict[str, str | list[str]] = {}
    wrong_builds: list[str] = []
    lost_hosts: list[str] = []
    hooks: dict[str, int | list[int | None] | None] = {}  # `STAGE HOST`: exit codes; else 0
    alerts: dict[str, Literal["firing", "silenced", "resolved"]] = {}
    resumes: int = 0  # how often a person resumes or approves what has been held for a while
    until_s: float = Field(default=20_000, gt=0)
    days_before: float = 0.0  # that the fleet lives before the rollout begins
    days_after: float = 0.0  # and after it has ended
    timeline: list[Deed] = []
    expected: Expected | None = None

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

    def gate_policy(self) -> GatePolicy:
        """What is asked before a wave opens or a host is touched."""
        return GatePolicy.model_validate(self.gates)

    def world(self) -> dict[str, Any]:
        """What `tests.sim.Sim` is to be besides its fleet."""
        mine = [_advisory(one) for one in self.advisories]
        keeps = [_advisory(one) for one in self.keeps]
        files = [payload_name(file) for one in (*mine, *keeps) for file in one.livepatches.values()]
        return {
            "faults": {n: list(f) if isinstance(f, list) else f for n, f in self.faults.items()},
            "consents": self.consents,
            "limits": self.checked_limits(),
            "gates": self.gate_policy(),
            "wrong_builds": self.wrong_builds,
            "lost_hosts": self.lost_hosts,
            "advisories": mine,
            "keeps": keeps,
            "livepatch": self.livepatch,
            "livepatches": {name: tuple(applied) for name, applied in self.livepatches.items()},
            "payloads": {name: f"{n % 10}" * 64 for n, name in enumerate(files, 1)},
            "without_payloads": self.without_payloads,
            "patch_exits": self.patch_exits,
            "comes_back": {name: self.shown(name, b) for name, b in self.comes_back.items()},
        }

    def shown(self, name: str, becomes: Becomes) -> dict[str, object]:
        """What of a host's facts is different then."""
        facts: dict[str, object] = {}
        if becomes.without is not None:
            offers = next(one.offers for one in self.fleet().hosts if one.name == name)
            facts["offers"] = tuple(tag for tag in offers if tag not in becomes.without)
        if becomes.microcode is not None:
            facts["microcode"] = becomes.microcode
        if becomes.xenstored is not None:
            dead = becomes.xenstored == "dead"
            facts["trouble"] = ("xl list: cannot connect to xenstored",) if dead else ()
        if becomes.livepatches is not None:
            facts["livepatches"] = tuple(becomes.livepatches)
        return facts


def _guest(facts: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(facts, dict):
        names = {"host": "on", "class": "guest_class"}
        return {names.get(name, name): fact for name, fact in facts.items()}
    on, gib = facts.split()
    return {"on": on, "gib": float(gib)}


def _advisory(facts: dict[str, Any]) -> Advisory:
    told = dict(facts)
    told["fixed_builds"] = [BUILDS.get(one, one) for one in facts.get("fixed_builds", [])]
    files = facts.get("livepatches", {}).items()
    told["livepatches"] = {BUILDS.get(build, build): file for build, file in files}
    return Advisory.model_validate(told)


class BadStory(Exception):
    """A story file is not one; says which field and what was expected."""


def read(path: Path) -> Story:
    """The story of a file. Raises BadStory."""
    from tests.story_check import problem

    try:
        story = Story.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise BadStory(f"{path.name}: no YAML: {error}") from None
    except ValidationError as error:
        raise BadStory(f"{path.name}: {first_of(error)}") from None
    if found := problem(story):
        raise BadStory(f"{path.name}: {found}")
    return story


def first_of(error: ValidationError, where: str = "") -> str:
    """The first thing that is wrong: `FIELD: what was expected`."""
    first = error.errors()[0]
    path = [where, *map(str, first["loc"])] if where else list(map(str, first["loc"]))
    return f"{'.'.join(path)}: {first['msg']}"


def every() -> list[Path]:
    """The files of all stories."""
    return sorted(FOLDER.glob("*.yaml"))


if __name__ == "__main__":
    from tests.story_player import watch

    for name in sys.argv[1:]:
        watch(read(Path(name)))
