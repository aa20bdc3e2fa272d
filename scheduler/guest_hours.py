"""How long guests were seen to live, by group and class. Pure.

Between two looks at a host that show the same domains all of them lived; a domain that ended in
between is counted up to the look that showed it, by five seconds too long as a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from scheduler.watched import ClassKey

Group = tuple[str, ClassKey]
"""`moved` or `other`, and the class: whose hours are added up together."""


class HoursCount:
    """Adds up guest-milliseconds, which are whole numbers, so that sums stay exact."""

    def __init__(self) -> None:
        self._seen_ms: Counter[Group] = Counter()
        self._since: dict[str, datetime] = {}
        self._groups: dict[str, Counter[Group]] = {}

    def count(self, host: str, now: datetime) -> None:
        """A host was looked at: who was there at the last look has lived since."""
        since = self._since.get(host)
        if since is not None and now > since:
            passed_ms = round((now - since).total_seconds() * 1000)
            for group, number in self._groups[host].items():
                self._seen_ms[group] += number * passed_ms
            self._since[host] = now

    def group(self, host: str, now: datetime, groups: Iterable[Group]) -> None:
        """Who lives there from now on."""
        self._since.setdefault(host, now)
        self._groups[host] = Counter(groups)

    def take(self) -> dict[Group, int]:
        """What was added up since this was last asked."""
        seen, self._seen_ms = dict(self._seen_ms), Counter()
        return seen
