"""What the commands that talk to Redis share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import ValidationError
from redis.exceptions import RedisError

from scheduler.cli_exit import Exit, fail
from scheduler.cli_people import person
from scheduler.link import Away, quick
from scheduler.settings import Settings, not_settings
from scheduler.store import Store

__all__ = ["Exit", "fail", "note", "person", "store"]


def settings() -> Settings:
    """What the environment says; ends the command where a name or a value is none."""
    unknown = not_settings()
    if unknown:
        fail(Exit.BAD_INPUT, unknown)
    try:
        return Settings()
    except ValidationError as error:
        fail(Exit.BAD_INPUT, [_setting(dict(one)) for one in error.errors()])


def _setting(error: dict[str, object]) -> str:
    location = error["loc"]
    parts = [str(part).upper() for part in location] if isinstance(location, tuple) else []
    return f"XENROLL_{'__'.join(parts)}: {error['msg']}"


@contextmanager
def store() -> Iterator[Store]:
    """The store that the environment names; ends the command with one line when it is away."""
    try:
        yield Store(quick(settings().redis_url), f"cli-{os.getpid()}")
    except Away as error:
        fail(Exit.AWAY, str(error))
    except RedisError as error:
        fail(Exit.AWAY, f"Redis stopped answering: {error}")


def note(held: Store, action: str, target: str, reason: str) -> None:
    """Write a change that goes straight to Redis into the audit trail, before it is made."""
    from scheduler.service.audit import Audit, Entry

    entry = Entry(
        at=datetime.now(UTC),
        who=person(),
        role="command line",
        action=action,
        target=target,
        reason=reason,
        request_id=f"cli-{os.getpid()}",
    )
    Audit(held.client).write(entry)
