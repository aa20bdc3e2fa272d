"""`GET /api/v1/events`: what happens, as it happens (server-sent events)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from redis.exceptions import RedisError

from scheduler.service.feed import Feed, LiveEvent, order_of
from scheduler.service.parts import Parts, Still, Viewer
from scheduler.service.problem import Problem
from scheduler.store import NoRollout

router = APIRouter(tags=["events"])

RECONNECT_MS = 2000
ASKED_AGAIN_S = 5.0
"""How often, before it is told more, it is asked whether a listener's token still lets in."""


def _place(
    last_event_id: Annotated[str | None, Header(max_length=300)] = None,
    since: Annotated[
        str | None, Query(max_length=300, description="As Last-Event-ID, for those who send none.")
    ] = None,
) -> str | None:
    """Where to go on: what the browser says it has, or else what the address says."""
    place = last_event_id or since
    if place:
        try:
            order_of(place)
        except ValueError as error:
            raise Problem(422, "invalid", str(error), [("last-event-id", str(error))]) from None
    return place or None


def _known(
    parts: Parts,
    rollout: Annotated[str | None, Query(max_length=160, description="Only this one.")] = None,
) -> str | None:
    """The rollout that is asked for: nothing would ever be heard of one that is not there."""
    if rollout is not None and rollout not in parts.store.ids():
        raise NoRollout(rollout)
    return rollout


class EventStream(StreamingResponse):
    """Server-sent events.

    Not FastAPI's own: its producer raises when a listener leaves while an event is on its way.
    """

    media_type = "text/event-stream"


@router.get("/events", response_class=EventStream)
async def events(
    who: Viewer,
    still: Still,
    parts: Parts,
    place: Annotated[str | None, Depends(_place)],
    rollout: Annotated[str | None, Depends(_known)],
) -> EventStream:
    """Follow all rollouts, or one; comes back where it was cut off by Last-Event-ID."""
    # A proxy that keeps the answer until it is whole would keep it for ever.
    lines = _lines(parts.feed, place, rollout, still)
    return EventStream(lines, headers={"X-Accel-Buffering": "no"})


async def _lines(
    feed: Feed, place: str | None, rollout: str | None, still: Callable[[], bool]
) -> AsyncIterator[str]:
    with feed.listening(rollout) as listener:
        yield f": follows\nretry: {RECONNECT_MS}\n\n"
        asked_s = time.monotonic()
        # Whoever is cut off because the server is away comes back with the id of what they have.
        with suppress(RedisError):
            async with aclosing(feed.events(listener, place)) as events:
                async for event in events:
                    if time.monotonic() - asked_s >= ASKED_AGAIN_S:
                        if not await asyncio.to_thread(still):
                            return
                        asked_s = time.monotonic()
                    yield _sent(event)


def _sent(event: LiveEvent | None) -> str:
    """One event as it goes over the wire; JSON has no line ends, so its data is one line."""
    if event is None:
        return ": nothing new\n\n"
    return f"id: {event.id}\nevent: happening\ndata: {event.model_dump_json()}\n\n"
