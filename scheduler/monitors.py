"""Guests that xl does not watch any more: nobody makes them anew when they reboot or crash. Pure.

Agents say so only where a monitor's own log proves that there was one (`agents.monitors`): a guest
that has none by design (libvirt, `xl create -e`) is never called so. And it is told only after a
while: a guest may be restarting or ending right now.
"""

from __future__ import annotations

from datetime import datetime

from agents.wire import GuestSeen
from scheduler.watched import Life

UNSEEN_S = 60.0
"""For so long a guest that lives has to be without its monitor before that is told."""

WORDS = (
    "without xl's monitor: nobody starts it again when it reboots or crashes;"
    " a move, or a restart from its configuration, gives it a new one"
)


def follow(before: Life | None, life: Life, seen: GuestSeen, now: datetime) -> Life:
    """`life` with since when xl does not watch it. `before`: the same domain when last seen."""
    known = before.alone_since if before is not None else None
    if seen.monitored is None and before is not None:
        return life.model_copy(update={"alone_since": known, "alone": before.alone})
    if seen.monitored is not False:
        return life
    since = known or now
    alone = (now - since).total_seconds() >= UNSEEN_S
    return life.model_copy(update={"alone_since": since, "alone": alone})
