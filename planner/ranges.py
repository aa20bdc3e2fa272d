"""What the values in a fleet file may be: one place for the models and for the messages."""

from __future__ import annotations

import re
from datetime import datetime

LISTED = 20
"""Problems of one file that are listed; the rest is only counted."""

MEMORY_MIB = (0, 10**12)
VCPUS = (0, 10**9)
CPUS = (0, 10**9)

NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$"
XEN_PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}$"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(text: str) -> str:
    """The text itself; raises ValueError where it is no RFC 3339 time."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("expected an RFC 3339 time")
    # fromisoformat takes at most six digits of a second, RFC 3339 any number of them.
    datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))
    return text
