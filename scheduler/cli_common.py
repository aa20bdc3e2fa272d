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
from scheduler.inventory import Inventory, InventoryError, load_inventory
from scheduler.link import Away, quick
from scheduler.settings import Settings
from scheduler.store import NoRollout, Store

__all__ = ["Exit", "fail", "inventory_of", "note", "person", "store", "the_rollout"]


def settings() -> Settings:
    """What the environment says; ends the command where a value is none."""
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
    except NoRollout as error:
        fail(Exit.BAD_INPUT, f"no rollout {error}; see `xenroll rollout list`")


def inventory_of(held: Store) -> Inventory:
    """The inventory that was applied; ends the command where there is none."""
    raw = held.inventory()
    if raw is None:
        fail(Exit.BAD_INPUT, "no inventory yet; apply one with `xenroll inventory apply FILE`")
    try:
        return load_inventory(raw)
    except InventoryError as error:
        fail(Exit.BAD_INPUT, [f"inventory: {line}" for line in error.problems])


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


def the_rollout(held: Store, rollout_id: str | None) -> str:
    """The id given, or that of the newest rollout; ends the command where there is none."""
    ids = held.ids()
    if not ids and rollout_id is None:
        fail(Exit.BAD_INPUT, "there is no rollout yet; start one with `xenroll rollout start`")
    if rollout_id is not None and rollout_id not in ids:
        known = f"; there are {', '.join(ids[-5:])}" if ids else "; there is none yet"
        fail(Exit.BAD_INPUT, f"no rollout {rollout_id}{known}")
    return rollout_id or ids[-1]
