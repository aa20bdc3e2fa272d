"""Lines of the event log as stories write them, and which of them a story expects where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agents.verdict import Outcome
from scheduler.rollout import Happening
from tests.sim import START
from tests.stories import Line

_SOURCES = sorted((Path(__file__).parent.parent / "scheduler").glob("*.py"))
_SAID = re.compile(r'\bsay\(\s*"(\w+)"')
_COMPUTED = ["created", "paused", "resumed", "abort", "back"]
KINDS = frozenset(
    [
        *(kind for path in _SOURCES for kind in _SAID.findall(path.read_text())),
        *map(str, Outcome),
        *_COMPUTED,
        "left out",
    ]
)
"""What a line can begin with. A story that waits for another kind of line would wait for ever."""


@dataclass(frozen=True)
class Told:
    """A line of the log: seconds since the story began, its words, and the guest it is about."""

    at_s: float
    text: str
    guest: str | None = None


def told(happening: Happening) -> Told:
    """A line of the log as stories write it."""
    at_s = (happening.at - START).total_seconds()
    return Told(at_s, f"{happening.kind}: {happening.text}", happening.guest)


def fits(line: str, pattern: str) -> bool:
    """Whether a line of the log begins as a pattern says; `*` stands for anything."""
    return fnmatchcase(line, pattern.replace("[", "[[]") + "*")


def missing_line(log: Sequence[Told], wanted: Sequence[str | Line]) -> str | None:
    """What is wrong with the first line that is not as wanted, or None."""
    at, since_s = 0, 0.0
    for entry in wanted:
        line = Line(line=entry) if isinstance(entry, str) else entry
        found = next((n for n in range(at, len(log)) if fits(log[n].text, line.line)), None)
        if found is None:
            return f"no line in its place: {line.line}"
        wrong = _between(line, [one.text for one in log[at:found]])
        wrong = wrong or _too_soon_or_late(line, log[found].at_s - since_s)
        if wrong:
            return wrong
        at, since_s = found + 1, log[found].at_s
    return None


def _between(line: Line, lines: Sequence[str]) -> str | None:
    for pattern in line.without:
        if (found := next((one for one in lines if fits(one, pattern)), None)) is not None:
            return f"before {line.line} comes {found}"
    return None


def _too_soon_or_late(line: Line, after_s: float) -> str | None:
    if line.at_least_s is not None and after_s < line.at_least_s:
        return f"{line.line} comes after {after_s:.0f} s already"
    if line.at_most_s is not None and after_s > line.at_most_s:
        return f"{line.line} comes after {after_s:.0f} s only"
    return None
