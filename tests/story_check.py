"""What is wrong with a story before it is played: names that nobody has, lines that never come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from scheduler.gates import HookStage, problems
from scheduler.rollout import RolloutState
from tests.failure_tables import ROWS
from tests.sim_deeds import SHORT
from tests.sim_endings import ENDINGS
from tests.stories import Deed, Expected, Story, first_of
from tests.story_log import KINDS

TIMES = ("at_s", "after", "every")
ASIDE = {*TIMES, "wait_s", "of", "refused"}
OTHER_FAULTS = {"stays_up", "stays_untuned", *SHORT}
PART = re.compile(r"rollout|wave [1-9][0-9]*|host \S+")


def problem(story: Story) -> str | None:
    """The first thing that is wrong, as `FIELD: what was expected`, or None."""
    if (wrong := _parts(story)) is not None:
        return wrong
    if story.expected is None:
        return "expected: say how it has to end"
    return next(_all(story, story.expected), None)


def _parts(story: Story) -> str | None:
    """What the fleet, the gates, the limits or the advisories say of themselves."""
    made = {"limits": story.checked_limits, "gates": story.gate_policy, "advisories": story.world}
    for where, make in made.items():
        try:
            make()
        except ValidationError as error:
            return first_of(error, where)
    try:
        seen = story.fleet()
    except ValidationError as error:
        return first_of(error, "policy")
    except (TypeError, ValueError) as error:
        return f"hosts, guests: {error}"
    return next(iter(problems(seen.policy, story.gate_policy())), None)


def _all(story: Story, expected: Expected) -> Iterator[str]:
    created = {n for deed in story.timeline for n in (*deed.create, *deed.rename.values())}
    guests, hosts = {*story.guests, *created, "it"}, set(story.hosts)
    for guest in story.fleet().guests:
        yield from _unknown(f"guests.{guest.name}", [guest.host], hosts, "host")
    for where in ("wrong_builds", "lost_hosts", "comes_back", "patch_exits", "livepatches"):
        yield from _unknown(where, getattr(story, where), hosts, "host")
    yield from _unknown("consents", story.consents, guests, "guest")
    yield from _faults("faults", story.faults, guests)
    yield from _hooks("hooks", story.hooks, story, hosts)
    for number, deed in enumerate(story.timeline, 1):
        yield from _deed(f"timeline.{number}", deed, story, hosts, guests)
    yield from _expected(expected, hosts, guests)
    yield from (f'rows: the tables have no row "{row}"' for row in story.rows if row not in ROWS)


def _unknown(where: str, names: Iterable[str], known: set[str], word: str) -> Iterator[str]:
    yield from (f"{where}: there is no {word} {name}" for name in names if name not in known)


def _faults(where: str, faults: dict[str, str | list[str]], guests: set[str]) -> Iterator[str]:
    yield from _unknown(where, faults, guests, "guest")
    for name, fault in faults.items():
        for one in [fault] if isinstance(fault, str) else fault:
            if one not in ENDINGS and one not in OTHER_FAULTS:
                yield f'{where}.{name}: no ending is called "{one}"'


def _hooks(where: str, hooks: Iterable[str], story: Story, hosts: set[str]) -> Iterator[str]:
    for name in hooks:
        stage, _, host = name.partition(" ")
        if stage not in set(HookStage) or host not in hosts:
            yield f"{where}.{name}: expected a stage ({', '.join(HookStage)}) and a host"
        elif story.gate_policy().hooks.of(HookStage(stage)) is None:
            yield f"{where}.{name}: gates.hooks names no hook for {stage}"


def _deed(where: str, deed: Deed, story: Story, hosts: set[str], guests: set[str]) -> Iterator[str]:
    if sum(getattr(deed, name) is not None for name in TIMES) != 1:
        yield f"{where}: say when, by one of {', '.join(TIMES)}"
    if not deed.model_fields_set - ASIDE:
        yield f"{where}: nothing happens"
    lines = {"after": deed.after, "every": deed.every}
    for name, line in lines.items():
        yield from _line(f"{where}.{name}", line)
    touched = [*deed.silent, *deed.heard, *deed.dies, *deed.returns, *deed.reboots]
    touched += [*deed.becomes, *deed.create.values(), *deed.carry.values()]
    touched += [*deed.start.values(), *deed.agents, *deed.clocks]
    yield from _unknown(where, touched, hosts, "host")
    ended = [*deed.carry, *deed.start, *deed.shut_down, *deed.restarts, *deed.stays_crashed]
    ended += [*deed.monitor_dies, *deed.rename]
    yield from _unknown(where, ended, guests, "guest")
    yield from _faults(f"{where}.faults", deed.faults, guests)
    yield from _hooks(f"{where}.hooks", deed.hooks, story, hosts)
    yield from _person(where, deed, hosts)


def _person(where: str, deed: Deed, hosts: set[str]) -> Iterator[str]:
    if not PART.fullmatch(deed.of):
        yield f'{where}.of: expected "rollout", "wave NUMBER" or "host NAME"'
    elif deed.of.startswith("host "):
        yield from _unknown(f"{where}.of", [deed.of[5:]], hosts, "host")
    if deed.dead is not None and not deed.of.startswith("host "):
        yield f"{where}.dead: say which host, such as `of: host h1`"
    if deed.approve is not None and not deed.of.startswith("wave "):
        yield f"{where}.approve: say which wave, such as `of: wave 2`"


def _line(where: str, line: str | None) -> Iterator[str]:
    kind = (line or "").partition(":")[0]
    if line is not None and kind not in KINDS:
        yield f'{where}: no line of the log begins with "{kind}:"'


def _expected(expected: Expected, hosts: set[str], guests: set[str]) -> Iterator[str]:
    if expected.state not in set(RolloutState):
        yield f"expected.state: expected one of {', '.join(RolloutState)}"
    for name in ("blocked", "opened", "waiting", "closed", "livepatches", "hooks"):
        yield from _unknown(f"expected.{name}", getattr(expected, name), hosts, "host")
    for name in ("fixed", "rebooted"):
        if isinstance(found := getattr(expected, name), list):
            yield from _unknown(f"expected.{name}", found, hosts, "host")
    for name in ("gone", "twice", "restarted", "crashed"):
        yield from _unknown(f"expected.{name}", getattr(expected, name) or [], guests, "guest")
    for line in (*_lines(expected), *expected.never):
        yield from _line("expected.log", line)


def _lines(expected: Expected) -> Iterator[str]:
    for entry in expected.log:
        yield from [entry] if isinstance(entry, str) else [entry.line, *entry.without]
