"""Embargo: until its hour, an advisory has only its codename for all who may not know.

What leaves the service, the notifier and the controller (answers, messages, logs) passes a `Veil`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from redis.exceptions import RedisError

from scheduler.advisory import Advisory, payload_name


def hidden(advisories: Sequence[Advisory], now: datetime) -> list[Advisory]:
    """Those that are still secret."""
    return [one for one in advisories if one.shown(now, knows=False) != one.id]


class Veil:
    """Takes secret names out of one text; the longest first."""

    def __init__(self, secret: Sequence[Advisory]) -> None:
        names = {form: one.codename or "" for one in secret for form in _forms(one)}
        self._names = {form.lower(): name for form, name in names.items()}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text with codenames."""
        return self._pattern.sub(lambda m: self._names[m.group().lower()], text)


def _forms(advisory: Advisory) -> set[str]:
    """Every way in which it can be written: with and without its dash, escaped, its CVEs."""
    words = {advisory.id, *advisory.cves, *advisory.livepatches.values()}
    words |= {payload_name(file) for file in advisory.livepatches.values()}
    words |= {re.sub(r"[-_. ]", join, advisory.id) for join in ("", "-", "_", " ", "%20", "%2D")}
    words |= {advisory.title} if advisory.title else set()
    forms = (html.escape, _in_json, _in_ascii_json, markdown)
    escaped = {form(word) for word in words for form in forms}
    jinja = {word.replace("&#x27;", "&#39;").replace("&quot;", "&#34;") for word in escaped}
    return words | escaped | jinja


def markdown(text: str) -> str:
    """The text with nothing in it that Markdown takes for markup or a link."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!&" else c for c in text)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


class KnowsAdvisories(Protocol):
    """A store, as far as it is needed here."""

    def advisories(self) -> Mapping[str, Advisory]:
        """Every advisory by its id. Raises redis errors."""


class VeiledLog:
    """Writes lines with codenames: who reads a log may be anybody.

    While the server is away, what was secret a moment ago counts; a process that never reached it
    has learnt no name.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        store: KnowsAdvisories,
        now: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._store = store
        self._now = now
        self._known: tuple[Advisory, ...] = ()

    def __call__(self, line: str) -> None:
        """Write one line."""
        with suppress(RedisError):
            self._known = tuple(self._store.advisories().values())
        secret = hidden(self._known, self._now())
        self._log(Veil(secret)(line) if secret else line)
