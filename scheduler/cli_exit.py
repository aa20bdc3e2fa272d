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
    BAD_INPUT = 2  # an unknown name, a broken file
    BLOCKED = 3  # planned, but some hosts are blocked
    NO_PLAN = 4  # nothing can be planned
    INTERNAL = 5  # a defect of xenroll
    AWAY = 6  # Redis does not answer


def fail(code: Exit, lines: str | Sequence[str]) -> NoReturn:
    """End with these lines on stderr."""
    for line in [lines] if isinstance(lines, str) else lines:
        print(f"xenroll: {plain(line)}", file=sys.stderr)
    raise typer.Exit(int(code))
