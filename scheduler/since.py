"""Since when, as people say it: `2h`, `30m`, `22:00`, or a whole time. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class SinceError(ValueError):
    """It is no time; the text says what was expected."""


def since(text: str, now: datetime) -> datetime:
    """The moment that is meant; an hour alone is the last one of that name, in UTC.

    Raises SinceError.
    """
    back = re.fullmatch(r"(\d{1,5})([smhd])", text)
    if back:
        return now - timedelta(**{UNITS[back[2]]: int(back[1])})
    hour = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    try:
        if hour:
            today = now.astimezone(UTC).replace(second=0, microsecond=0)
            at = today.replace(hour=int(hour[1]), minute=int(hour[2]))
            return at if at <= now else at - timedelta(days=1)
        whole = datetime.fromisoformat(text)
    except ValueError:
        said = f"{text!r}: expected 2h, 30m, 22:00 (UTC) or a time such as 2026-12-01T22:00Z"
        raise SinceError(said) from None
    return whole if whole.tzinfo else whole.replace(tzinfo=UTC)
