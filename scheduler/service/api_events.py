"""`GET /api/v1/events`: what happens, as it happens (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from scheduler.service.feed import LiveEvent, order_of
from scheduler.service.parts import Parts, Viewer
from scheduler.service.problem import Problem

router = APIRouter(tags=["events"])

RECONNECT_MS = 2000


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


@router.get("/events", response_class=EventSourceResponse)
async def events(
    who: Viewer,
    parts: Parts,
    place: Annotated[str | None, Depends(_place)],
    rollout: Annotated[str | None, Query(max_length=160, description="Only this one.")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Follow all rollouts, or one; comes back where it was cut off by Last-Event-ID."""
    with parts.feed.listening(rollout) as listener:
        yield ServerSentEvent(comment="follows", retry=RECONNECT_MS)
        async for event in parts.feed.events(listener, place):
            yield _sent(event)


def _sent(event: LiveEvent) -> ServerSentEvent:
    return ServerSentEvent(id=event.id, event="happening", raw_data=event.model_dump_json())
