"""The append-only trail of changes: the stream `xr:audit`, written before the change is made.

A Redis user of the service needs XADD and XRANGE on this key and nothing that deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import redis
from pydantic import BaseModel, ConfigDict

AUDIT_KEY = "xr:audit"


class Entry(BaseModel):
    """One line of the trail."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    who: str
    role: str
    action: str  # `pause`, `start`, `token.create`, …
    target: str  # the rollout, or the token
    reason: str
    request_id: str
    outcome: str = "asked"  # or `refused: …`, after an `asked` that came to nothing


class Numbered(Entry):
    """An entry as it was written."""

    id: str


class Audit:
    """Writes and reads the trail; nothing here takes a line away."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write(self, entry: Entry) -> None:
        """Append a line."""
        self._client.xadd(AUDIT_KEY, {"e": entry.model_dump_json()})

    def read(self, after: str | None, limit: int) -> list[Numbered]:
        """At most so many lines, the newest first, older than the id `after`."""
        before = f"({after}" if after else "+"
        raw = self._client.xrevrange(AUDIT_KEY, max=before, count=limit)
        entries = cast("Sequence[tuple[bytes, dict[bytes, bytes]]]", raw)
        return [
            Numbered(id=name.decode(), **Entry.model_validate_json(fields[b"e"]).model_dump())
            for name, fields in entries
        ]
