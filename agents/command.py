"""The one place that runs other programs and waits for them. Every failure has a name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

SAID_CHARS = 200


class CommandError(Exception):
    """A program could not do what it was asked; the text names it and says why."""


class Missing(CommandError):
    """The program is not there, or may not be run."""


class TimedOut(CommandError):
    """The program did not end in time, and was killed. Only for programs that read."""


class Failed(CommandError):
    """The program ended with an exit code other than 0."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Garbage(CommandError):
    """The program said something that cannot be read."""


@dataclass(frozen=True)
class Ran:
    """A program that ended with 0."""

    stdout: str
    stderr: str


def run(argv: Sequence[str], timeout_s: float) -> Ran:
    """Run a program to its end. Raises Missing, TimedOut, Failed, Garbage."""
    shown = " ".join(argv)[:SAID_CHARS]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise Missing(f"{shown}: cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{shown}: no answer within {timeout_s:g} s") from None
    except ValueError as error:  # a NUL in an argument
        raise Missing(f"{shown}: cannot be run: {error}") from None
    stderr = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        lines = stderr.strip().splitlines()
        said = f": {lines[-1][:SAID_CHARS]}" if lines else ""
        raise Failed(f"{shown}: exit code {done.returncode}{said}", done.returncode)
    try:
        return Ran(done.stdout.decode(), stderr)
    except UnicodeDecodeError as error:
        raise Garbage(f"{shown}: its output is not UTF-8 at byte {error.start}") from None
