"""The controller's desk: the newest report of every host, how old it is, and looks asked for.

A report's age is counted by our own clock from the moment its bytes changed, so no two clocks are
ever compared. A *look* is asked for by number: a report that answers it began afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

import redis
from pydantic import ValidationError

from agents.keys import keys
from agents.wire import Attempt, Report
from scheduler.disk_questions import DiskQuestions
from scheduler.inventory import Inventory

CHUNK = 500
MAX_REPORT_BYTES = 4 * 2**20

ASK_LUA = """
-- KEYS: look, wake.  ARGV: time in ms.  Numbers grow even if the newest ones were lost.
local wanted = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', wanted))
redis.call('LPUSH', KEYS[2], 'look')
redis.call('LTRIM', KEYS[2], 0, 3)
return string.format('%.0f', wanted)
"""


class Desk:
    """What can be seen of the fleet; satisfies `scheduler.gate.Sight`."""

    def __init__(
        self,
        client: redis.Redis,
        inventory: Inventory,
        monotonic: Callable[[], float],
        stale_after_s: float,
    ) -> None:
        self.disks = DiskQuestions(client, monotonic)
        self._client = client
        self._monotonic = monotonic
        self._stale_after_s = stale_after_s
        self._ask = client.register_script(ASK_LUA)
        self._raw: dict[str, bytes] = {}
        self._reports: dict[str, Report] = {}
        self._unreadable: dict[str, str] = {}
        self._heard_s: dict[str, float] = {}
        self._lives: dict[str, dict[str, int]] = defaultdict(dict)  # agent id -> newest sequence
        self._twofold: dict[str, tuple[float, str]] = {}  # host -> since when, in words
        self._began_s = monotonic()
        self._where: dict[str, set[str]] = defaultdict(set)
        self.take_inventory(inventory)

    def take_inventory(self, inventory: Inventory) -> None:
        """Use another inventory from now on."""
        self._addresses = {host.name: host.address or host.name for host in inventory.hosts}
        self._classes = {guest.name: guest.guest_class for guest in inventory.guests}

    @property
    def hosts(self) -> list[str]:
        """Every host of the inventory."""
        return list(self._addresses)

    def refresh(self) -> list[str]:
        """Read every host's report; returns the hosts whose reports are new."""
        changed = []
        hosts = self.hosts
        for start in range(0, len(hosts), CHUNK):
            chunk = hosts[start : start + CHUNK]
            values = self._client.mget([keys.report(host) for host in chunk])
            for host, raw in zip(chunk, cast("list[bytes | None]", values), strict=True):
                if raw is not None and raw != self._raw.get(host):
                    self._take(host, raw)
                    changed.append(host)
        return changed

    def _take(self, host: str, raw: bytes) -> None:
        first = host not in self._raw
        self._raw[host] = raw
        try:
            report = _read(host, raw)
        except ValueError as error:
            self._unreadable[host] = str(error)
            return
        self._unreadable.pop(host, None)
        if report.sequence <= self._lives[host].get(report.agent_id, -1):
            return  # a server that lost its newest writes shows an old report again
        self._compare_lives(host, report)
        # The first report found may be of any age: it counts as heard only when it changes.
        if not first:
            self._heard_s[host] = self._monotonic()
        self._index(host, report)
        self._reports[host] = report

    def _compare_lives(self, host: str, report: Report) -> None:
        """Whether an agent goes on that another has followed: two dom0s have this host's name."""
        lives, before = self._lives[host], self._reports.get(host)
        if before and before.agent_id != report.agent_id and report.agent_id in lives:
            boots = " and ".join(sorted({before.boot_id, report.boot_id}))
            words = f"{host}: two agents report under its name (boot {boots}): end one of them"
            self._twofold[host] = (self._monotonic(), words)
        lives[report.agent_id] = report.sequence

    def _index(self, host: str, report: Report) -> None:
        before = self._reports.get(host)
        for name in _shown(before) if before else ():
            self._where[name].discard(host)
        for name in _shown(report):
            self._where[name].add(host)

    def report(self, host: str) -> Report | str:
        """The newest report if it is fresh and whole, else a sentence that says why not."""
        if host in self._unreadable:
            return f"{host}: its report cannot be read: {self._unreadable[host]}"
        report = self._reports.get(host)
        if report is None:
            return f"{host} has never reported"
        heard_s = self._heard_s.get(host)
        if heard_s is None:
            return f"{host} has not reported since this controller began"
        if self._monotonic() - heard_s > self._stale_after_s:
            return f"{host} has not reported for more than {self._stale_after_s:.0f} s"
        since_s, words = self._twofold.get(host, (float("-inf"), ""))
        if self._monotonic() - since_s <= self._stale_after_s:
            return words
        if report.trouble:
            return f"{host}: {report.trouble[0]}"
        return report

    def age_s(self, host: str) -> float:
        """Seconds since its newest report was heard; infinite where none is known."""
        return self._monotonic() - self._heard_s.get(host, float("-inf"))

    def waking(self, hosts: Iterable[str]) -> bool:
        """Whether we have only just begun, and some of these hosts were not heard yet."""
        if self._monotonic() - self._began_s >= self._stale_after_s:
            return False
        return any(host in self._addresses and host not in self._heard_s for host in hosts)

    def newest(self, host: str) -> Report | None:
        """The newest readable report, however old."""
        return self._reports.get(host)

    def attempt(self, host: str, attempt_id: str) -> Attempt | None:
        """What the newest report says of an attempt."""
        report = self._reports.get(host)
        attempts = report.attempts if report else ()
        return next((a for a in attempts if a.attempt_id == attempt_id), None)

    def silent(self) -> Mapping[str, str]:
        """Hosts without a fresh and whole report, and why; nobody in our first moments."""
        if self._monotonic() - self._began_s < self._stale_after_s:
            return {}
        answers = {host: self.report(host) for host in self.hosts}
        return {host: why for host, why in answers.items() if isinstance(why, str)}

    def address(self, host: str) -> str:
        """What `xl migrate` is given to reach a host."""
        return self._addresses.get(host, host)

    def where(self, guest: str) -> tuple[str, ...]:
        """The hosts whose newest reports show a guest of that name, or a domain of that UUID."""
        return tuple(sorted(self._where.get(guest, ())))

    def named_class(self, guest: str) -> str | None:
        """The class that the inventory gives a guest; None: it is what its host says."""
        return self._classes.get(guest)

    def ask(self, host: str, now_ms: int) -> int:
        """Ask a host to look again; a report that answers this number began after this call."""
        number = self._ask(keys=[keys.look(host), keys.wake(host)], args=[now_ms])
        return int(cast("bytes", number))

    def answer(self, host: str, number: int) -> Report | None:
        """The host's report if it answers this look."""
        report = self._reports.get(host)
        return report if report and report.answers >= number else None


def _shown(report: Report) -> Iterator[str]:
    """Names of guests, and UUIDs of all domains but dom0: also of halves that a move makes."""
    yield from (guest.name for guest in report.guests)
    yield from (domain.uuid for domain in report.domains if domain.domid != 0)


def _read(host: str, raw: bytes) -> Report:
    if len(raw) > MAX_REPORT_BYTES:
        raise ValueError(f"it has {len(raw)} bytes, more than {MAX_REPORT_BYTES}")
    try:
        report = Report.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {first['msg']}") from None
    if report.host != host:
        raise ValueError(f"it says that it is of {report.host}")
    return report
