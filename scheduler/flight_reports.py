"""Reads the reports of the hosts that moves are leaving right now."""

from __future__ import annotations

from typing import cast

import redis
from pydantic import ValidationError

from agents.keys import keys
from agents.wire import Kind, Report
from scheduler.book import Book
from scheduler.flight import Flight, flights


def flights_now(client: redis.Redis, book: Book) -> dict[str, Flight]:
    """Step id -> how far its move has come. Raises redis errors."""
    hosts = sorted({step.host for step in book.running() if step.kind is Kind.MOVE})
    if not hosts:
        return {}
    found = {}
    values = cast("list[bytes | None]", client.mget([keys.report(host) for host in hosts]))
    for host, raw in zip(hosts, values, strict=True):
        try:
            if raw is not None:
                found[host] = Report.model_validate_json(raw)
        except ValidationError:  # the controller says so of the host; here it is only not known
            continue
    return flights(book, found)
