"""The live feed: one reader a process on all rollouts' event streams, fanned out to who listens.

An event's id is `STREAM-ID.ROLLOUT`. Stream ids of one server grow with its clock, so an id is a
place in all streams at once: who comes back with one gets what followed it, from every rollout.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError

from scheduler.rollout import Happening
from scheduler.service.streams import Streams, is_stream_id
from scheduler.store import Store

ID_FORM = re.compile(r"^(\d{1,20})-(\d{1,20})\.([A-Za-z0-9_-]{1,160})$")
FOLLOWED = 32
"""The newest rollouts; older ones have nothing to say any more."""
QUEUE = 2000
"""Events that a slow listener may lag behind; then it is cut off and comes back with its id."""
CATCH_UP = 5000
BLOCK_MS = 500
QUIET_S = 15.0
AWAY_WAIT_S = 1.0

Order = tuple[int, int, str]
NOWHERE: Order = (0, 0, "")


class LiveEvent(BaseModel):
    """One line of one rollout's event log, as it goes over the wire."""

    model_config = ConfigDict(frozen=True)

    id: str
    rollout: str
    happening: Happening

    @property
    def order(self) -> Order:
        """By this events are sorted."""
        return order_of(self.id)


def order_of(event_id: str) -> Order:
    """An id as something to compare. Raises ValueError."""
    form = ID_FORM.match(event_id)
    if form is None or not is_stream_id(f"{form[1]}-{form[2]}"):
        raise ValueError(f"{event_id[:80]!r} is no id of an event")
    return int(form[1]), int(form[2]), form[3]


@dataclass(frozen=True)
class Listener:
    """Who listens, and what waits for them; None at the end of it."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[LiveEvent | None]
    rollout: str | None


class Feed:
    """Follows the event logs on a thread of its own between `start` and `stop`."""

    def __init__(self, store: Store, log: Callable[[str], None]) -> None:
        self._store = store
        self._streams = Streams(store.client)
        self._log = log
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow: what happens from now on is told, however late the thread comes."""
        try:
            places = self._ends()
        except RedisError:
            places = None  # the thread says so, and begins when the server is back
        self._thread = threading.Thread(
            target=self._follow, args=(places,), name="feed", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, and let every listener end."""
        self._ending.set()
        self.cut()
        if self._thread is not None:
            self._thread.join()

    def cut(self) -> None:
        """End every listener's stream; who still wants it comes back with the last id."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            _hand(listener, None)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def newest(self, rollout: str) -> str:
        """The id of a rollout's newest event: who has it shown goes on from there."""
        return f"{self._streams.last(rollout)}.{rollout}"

    def past(self, after: str, rollout: str | None) -> tuple[list[LiveEvent], bool]:
        """The next part of what followed this id, and whether there is more. Raises ValueError."""
        major, minor, name = order_of(after)
        streams = self._followed() if rollout is None else [rollout]
        found: list[LiveEvent] = []
        ends: list[Order] = []
        for stream in streams:
            # Another rollout may have an event of this very id: rather twice than lost.
            place = f"{major}-{minor}" if stream == name else _before(major, minor)
            events = _events(stream, self._streams.after(stream, place, CATCH_UP))
            found += events
            ends += [events[-1].order] if len(events) == CATCH_UP else []
        # One stream may reach further than another that was cut: no further than the shortest.
        found = [event for event in found if not ends or event.order <= min(ends)]
        return sorted(found, key=lambda event: event.order), bool(ends)

    @contextmanager
    def listening(self, rollout: str | None) -> Iterator[Listener]:
        """Listen to one rollout, or all: nothing that happens in the block is missed."""
        queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue(QUEUE)
        listener = Listener(asyncio.get_running_loop(), queue, rollout)
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    async def events(
        self, listener: Listener, after: str | None
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """Events after an id, or from now on, until the service ends or the listener lags.

        None after a while in which nothing happened: time for a sign of life.
        """
        shown: dict[str, Order] = {}
        more = after is not None
        while more and after is not None:
            past, more = await asyncio.to_thread(self.past, after, listener.rollout)
            for event in past:
                after = event.id
                if event.order > shown.get(event.rollout, NOWHERE):
                    shown[event.rollout] = event.order
                    yield event
        while True:
            try:
                live = await asyncio.wait_for(listener.queue.get(), QUIET_S)
            except TimeoutError:
                yield None
                continue
            if live is None:
                return
            if live.order > shown.get(live.rollout, NOWHERE):
                yield live

    def _followed(self) -> list[str]:
        return self._store.ids()[-FOLLOWED:]

    def _ends(self) -> dict[str, str]:
        """The place after everything that was there before us."""
        return {name: self._streams.last(name) for name in self._followed()}

    def _follow(self, places: dict[str, str] | None) -> None:
        while not self._ending.is_set():
            try:
                if places is None:
                    places = self._ends()
                for name in self._followed():
                    places.setdefault(name, "0-0")  # a new rollout, from its first event
                self._spread(self._read(places))
            except RedisError as error:
                self._log(f"the live feed waits for the server: {error}")
                self._ending.wait(AWAY_WAIT_S)

    def _read(self, places: dict[str, str]) -> list[LiveEvent]:
        if not places:
            self._ending.wait(BLOCK_MS / 1000)
            return []
        found: list[LiveEvent] = []
        for name, entries in self._streams.wait(places, BLOCK_MS).items():
            places[name] = entries[-1][0]
            found += _events(name, entries)
        return sorted(found, key=lambda event: event.order)

    def _spread(self, events: Iterable[LiveEvent]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for event in events:
            for listener in listeners:
                if listener.rollout in (None, event.rollout):
                    _hand(listener, event)


def _hand(listener: Listener, event: LiveEvent | None) -> None:
    def put() -> None:
        if listener.queue.full():  # cut off: the listener finds the end, and comes back
            while not listener.queue.empty():
                listener.queue.get_nowait()
            listener.queue.put_nowait(None)
        else:
            listener.queue.put_nowait(event)

    if not listener.loop.is_closed():
        listener.loop.call_soon_threadsafe(put)


def _before(major: int, minor: int) -> str:
    """The largest stream id below this one."""
    if minor > 0:
        return f"{major}-{minor - 1}"
    return f"{major - 1}-{2**64 - 1}" if major > 0 else "0-0"


def _events(rollout: str, entries: Iterable[tuple[str, Happening]]) -> list[LiveEvent]:
    return [
        LiveEvent(id=f"{name}.{rollout}", rollout=rollout, happening=said) for name, said in entries
    ]


__all__ = ["Feed", "LiveEvent", "order_of"]
