"""Records as the bytes that are kept of them, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel

from agents.keys import keys
from agents.wire import Wanted
from scheduler import notice
from scheduler.closed import closing
from scheduler.rollout import Change, Rollout
from scheduler.wake_gate import BRIEF_S, is_brief

Record = TypeVar("Record", bound=BaseModel)


def records(model: type[Record], raw: Iterable[bytes]) -> list[Record]:
    """Records as they stand in Redis. Raises pydantic's ValidationError."""
    return [model.model_validate_json(value) for value in raw]


def text(value: Any) -> str:
    """What Redis answered, as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def payload(head: Rollout, change: Change, wanted: Wanted | None) -> str:
    """A change as JSON, as the script that writes it reads it (`scheduler/store_scripts.py`)."""
    tables: dict[str, dict[str, str]] = {
        "steps": {name: step.model_dump_json() for name, step in change.steps.items()},
        "hosts": {name: host.model_dump_json() for name, host in change.hosts.items()},
        "guests": {name: guest.model_dump_json() for name, guest in change.guests.items()},
        "waves": {str(number): wave.model_dump_json() for number, wave in change.waves.items()},
    }
    given, over = notice.rows(change)
    orders = [[keys.orders(o.host), o.attempt_id, o.model_dump_json()] for o in change.orders]
    drops = [[keys.orders(host), keys.claims(host), name] for host, name in change.drops]
    drops += [[keys.brief(host), keys.brief(host), name] for host, name in change.drops]
    briefs = [
        [keys.brief(o.host), keys.until(o.host, o.attempt_id), o.attempt_id, int(1000 * BRIEF_S)]
        for o in change.orders
        if is_brief(o.kind, o.mend)
    ]
    whole: dict[str, object] = {
        "head": head.model_dump_json(),
        "tables": {name: records for name, records in tables.items() if records},
        "orders": orders + given,
        "briefs": briefs,
        "drops": drops + over,
        "closed": closing(head, change),
        "happenings": [line.model_dump_json() for line in change.happenings],
    }
    if head.version == 1:  # with its first write: never without a place among the rollouts
        whole["created"] = [head.created_at.timestamp(), head.id]
    if wanted is not None:
        hold = head.hold
        reason, at = (hold.reason, hold.since.isoformat()) if hold else ("", "")
        whole["wanted"] = [keys.control(head.id), str(wanted), reason, at]
    return json.dumps(whole)
