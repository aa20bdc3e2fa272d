"""Showing a rollout to whoever sits at the terminal: once, or until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.live import Live

from scheduler import reader
from scheduler.flight_reports import flights_now
from scheduler.progress import Progress, progress
from scheduler.rollout import ENDED, Happening
from scheduler.show_screen import happening_line, held_lines, plain_line, screen
from scheduler.store import Store
from scheduler.text import plain

DRAWN_EVERY_S = 0.5
LINE_EVERY_S = 2.0
NEWEST = 40
"""Happenings that are read for a screen, which shows fewer of them."""


class Pictures:
    """Draws one rollout again and again, on a terminal; as lines, where there is none."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._line_at_s = float("-inf")
        self._said = ""

    def __enter__(self) -> Pictures:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, view: Progress, happenings: Sequence[Happening], now_s: float) -> None:
        """Draw the newest picture; `now_s`: a clock that only grows."""
        if self._live:
            self._draw(screen(view, happenings, self.console.height))
            return
        line = plain_line(view)
        over = view.state in ENDED
        if line != self._said and (over or now_s - self._line_at_s >= LINE_EVERY_S):
            self.say(line)
            self._said, self._line_at_s = line, now_s

    def say(self, line: str) -> None:
        """One line that stays: above the picture, or among the lines."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, picture: RenderableType) -> None:
        if self._live:
            self._live.update(picture, refresh=True)


def show_once(view: Progress, happenings: Sequence[Happening]) -> None:
    """One picture on stdout; one line and the newest happenings where that is no terminal."""
    console = Console()
    if console.is_terminal:
        console.print(screen(view, happenings))
        return
    for line in (plain_line(view), *held_lines(view), *map(happening_line, happenings)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class Seen(NamedTuple):
    """A rollout as it is now, and the newest lines of its log."""

    view: Progress
    happenings: list[Happening]

    @classmethod
    def parse(cls, view: Any, events: Sequence[Any]) -> Seen:
        """What the API answers; a field that only a newer service knows is left out."""
        lines = [Happening.model_validate(one["happening"], extra="ignore") for one in events]
        return cls(Progress.model_validate(view, extra="ignore"), lines)


def look(held: Store, rollout_id: str) -> Seen:
    """The rollout as it is in the store. Raises NoRollout and redis errors."""
    book = held.book(rollout_id)
    view = progress(book, datetime.now(UTC), flights_now(held.client, book))
    return Seen(view, held.happenings(rollout_id, NEWEST))


def show_until_ended(rollout_id: str, look: Callable[[], Seen | str]) -> None:
    """Draw it until it has ended; Ctrl-C only stops the drawing.

    `look` gives the rollout as it is now, or says in a sentence why it cannot be seen just now.
    """
    with Pictures(Console()) as pictures:
        said = ""
        try:
            while not reader.gone():
                seen = look()
                if isinstance(seen, str):
                    if seen != said:
                        pictures.say(f"{plain(seen)}; trying again")
                    said = seen
                else:
                    said = ""
                    pictures.show(*seen, time.monotonic())
                    if seen.view.state in ENDED:
                        return
                time.sleep(DRAWN_EVERY_S)
        except KeyboardInterrupt:
            pictures.say(f"detached; rollout {rollout_id} goes on without us")
