"""How a command ends: its exit code, and one clear line for each error.

Apart from `cli_common`, so that planning on paper does not load Redis.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import NoReturn

import typer

from scheduler.text import plain


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    REFUSED = 1  # it makes no sense in this state; a plan with problems
    BAD_INPUT = 2  # a broken file, an option out of range
    BLOCKED = 3  # planned, but some hosts are blocked
    NO_PLAN = 4  # nothing can be planned
    INTERNAL = 5  # a defect of xenroll
    AWAY = 6  # Redis, or the service, does not answer
    NO_ACCESS = 7  # no token, one that does not work, or a role that is not enough
    NOT_FOUND = 8  # there is no rollout, host, guest or advisory of that name


EXIT_CODES = (
    "Exit codes: 0 done; 1 makes no sense in this state; 2 bad input; 3 planned, but some hosts "
    "are blocked; 4 nothing can be planned; 5 a defect; 6 Redis, or the service, does not answer; "
    "7 no token, or a role that is not enough; 8 there is nothing of that name."
)


def fail(code: Exit, lines: str | Sequence[str]) -> NoReturn:
    """End with these lines on stderr."""
    for line in [lines] if isinstance(lines, str) else lines:
        print(f"xenroll: {plain(line)}", file=sys.stderr)
    raise typer.Exit(int(code))
