"""Reading rollouts' event logs by the ids of their lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import redis

from scheduler.rollout import Happening

Line = tuple[str, Happening]
"""A line of an event log, and the id it has in its stream."""

AT_ONCE = 1000
ID_FORM = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


def is_stream_id(text: str) -> bool:
    """Whether Redis takes it for the id of a line; another one it refuses as if it were away."""
    form = ID_FORM.fullmatch(text)
    return form is not None and max(int(form[1]), int(form[2])) < 2**64


class Streams:
    """The streams `xr:rollout:ID:events`."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def after(self, rollout_id: str, place: str, limit: int) -> list[Line]:
        """At most so many lines that follow this id."""
        raw = self._client.xrange(_key(rollout_id), min=f"({place}", count=limit)
        return _lines(cast("Sequence[Any]", raw))

    def newest(self, rollout_id: str, limit: int) -> list[Line]:
        """At most so many of the newest lines, the newest last."""
        raw = self._client.xrevrange(_key(rollout_id), count=limit)
        return _lines(cast("Sequence[Any]", raw))[::-1]

    def last(self, rollout_id: str) -> str:
        """The id of the newest line; `0-0` where there is none."""
        raw = self._client.xrevrange(_key(rollout_id), count=1)
        entries = cast("Sequence[tuple[bytes, object]]", raw)
        return entries[0][0].decode() if entries else "0-0"

    def wait(self, places: Mapping[str, str], wait_ms: int) -> dict[str, list[Line]]:
        """New lines of these rollouts, each after its place; waits so long for the first."""
        names = {_key(name): name for name in places}
        streams = {key: places[name] for key, name in names.items()}
        raw = self._client.xread(
            streams,  # type: ignore[arg-type]
            block=wait_ms,
            count=AT_ONCE,
        )
        pairs = raw.items() if isinstance(raw, dict) else raw or ()
        found = cast("Iterable[tuple[bytes, Sequence[Any]]]", pairs)
        return {names[key.decode()]: _lines(_flat(entries)) for key, entries in found}


def _flat(entries: Sequence[Any]) -> Sequence[Any]:
    """A newer protocol of the server wraps the entries of a stream once more."""
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _lines(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Line]:
    return [(name.decode(), Happening.model_validate_json(f[b"h"])) for name, f in entries]


def _key(rollout_id: str) -> str:
    return f"xr:rollout:{rollout_id}:events"
