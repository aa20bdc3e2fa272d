"""`--watch`: a command's output again and again, until Ctrl-C."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout

from scheduler import reader
from scheduler.cli_ask import Refused
from scheduler.cli_exit import Exit
from scheduler.text import plain

EVERY_S = 2.0
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
DETACHED = "detached; nothing ends because of it"


def again_and_again(show: Callable[[], object], detached: str = DETACHED) -> None:
    """Show it until `show` says True, nobody reads any more, or Ctrl-C, which only detaches.

    At a terminal each picture replaces the one before; elsewhere a picture is printed when it
    differs. A service that is away is said once and asked again; any other refusal is raised.
    """
    interrupted = _Interrupted()
    try:
        over = _until_over(show, interrupted)
    except KeyboardInterrupt:
        over = False
    finally:
        interrupted.forget()
    if not over:
        print(detached, file=sys.stderr)


def _until_over(show: Callable[[], object], interrupted: _Interrupted) -> bool:
    """False: whatever ran when Ctrl-C was pressed swallowed it, as libraries do."""
    said = ""
    while not interrupted:
        text, over = _picture(show, said)
        if text != said:
            _print(text)
            said = text
        if over or reader.gone():
            return True
        time.sleep(EVERY_S)
    return False


class _Interrupted:
    """Whether Ctrl-C was pressed; it interrupts as usual, and is remembered."""

    def __init__(self) -> None:
        self._pressed = False
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._press)

    def __bool__(self) -> bool:
        return self._pressed

    def forget(self) -> None:
        """As it was before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, *_: object) -> None:
        self._pressed = True
        raise KeyboardInterrupt


def _picture(show: Callable[[], object], before: str) -> tuple[str, bool]:
    with redirect_stdout(_Picture()) as picture:
        try:
            over = show() is True
        except Refused as refused:
            if refused.code is not Exit.AWAY or not before:
                raise
            return f"{plain(str(refused))}; trying again\n", False
    return picture.getvalue(), over


def _print(text: str) -> None:
    start = CLEAR if sys.stdout.isatty() else ""
    sys.stdout.write(start + text)
    sys.stdout.flush()


class _Picture(io.StringIO):
    """Takes what a command prints; tables fit the terminal as if they were printed there."""

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()
