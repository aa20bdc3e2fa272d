"""Signs of life and of death that this host's files give of its guests.

Hints (bytes of network and console) are cheap counters. Why a domain ended stands in the log that
xl's monitor of it writes (`xl_vmcontrol.c`); it is looked for once, when the domain is gone.
Nothing here can keep a report from being made: what cannot be read is not known.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator

from agents.copies import INCOMING, base_name
from agents.settings import Settings
from agents.wire import Domain, DomainEnd, GuestSeen, Report

ENDINGS_KEPT = 200
LOG_TAIL_BYTES = 16_384

SHUT_DOWN = re.compile(rb"^Domain (\d+) has shut down, reason code (\d+) ", re.M)


class Signs:
    """Adds to each report what the one before it makes visible."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._boot_id = ""
        self._looked_s = 0.0
        self._domains: dict[int, Domain] = {}
        self._endings: deque[DomainEnd] = deque(maxlen=ENDINGS_KEPT)

    def complete(self, report: Report) -> Report:
        """The report with bytes of each guest, and with the domains that ended."""
        if report.boot_id != self._boot_id:
            self._boot_id = report.boot_id
            self._domains.clear()
            self._endings.clear()
        if report.domains:  # none at all: xl could not be read
            self._note_endings({domain.domid: domain for domain in report.domains})
            self._looked_s = report.taken_at.timestamp()
        guests = tuple(map(self._guest, report.guests))
        return report.model_copy(update={"guests": guests, "endings": tuple(self._endings)})

    def _note_endings(self, domains: dict[int, Domain]) -> None:
        for domid in sorted(set(self._domains) - set(domains)):
            name = base_name(self._domains[domid].name)
            code = self._reason(name, domid)
            if code is not None:
                self._endings.append(DomainEnd(domid=domid, name=name, reason_code=code))
        self._domains = domains

    def _reason(self, name: str, domid: int) -> int | None:
        """Xen's reason of the domain's shutdown; None where no log tells.

        A guest that arrived by migration is watched by a monitor whose log has the name that it
        arrived under.
        """
        if "/" in name:
            return None
        codes = [
            int(found[2])
            for file in (f"xl-{name}{INCOMING}.log", f"xl-{name}.log")
            for found in SHUT_DOWN.finditer(self._tail(file))
            if int(found[1]) == domid
        ]
        return codes[-1] if codes else None

    def _tail(self, file: str) -> bytes:
        path = self.settings.path(self.settings.xl_log_dir) / file
        try:
            with path.open("rb") as log:
                # A log that was written last before the domain was last seen is of another boot.
                if os.fstat(log.fileno()).st_mtime < self._looked_s - 1:
                    return b""
                log.seek(0, 2)
                log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
                return log.read()
        except OSError:  # xl never wrote one, or an administrator moved it
            return b""

    def _guest(self, guest: GuestSeen) -> GuestSeen:
        counted = {
            "net_bytes": self._net_bytes(guest.domid),
            "console_bytes": self._console_bytes(guest.name),
        }
        return guest.model_copy(update=counted)

    def _net_bytes(self, domid: int) -> int | None:
        found = list(self._counters(domid))
        return sum(found) if found else None

    def _counters(self, domid: int) -> Iterator[int]:
        base = self.settings.path(self.settings.net_dir)
        for path in base.glob(f"vif{domid}.*/statistics/[rt]x_bytes"):
            try:
                yield int(path.read_text())
            except (OSError, ValueError):  # the device went away between the two calls
                continue

    def _console_bytes(self, name: str) -> int | None:
        if "/" in name:
            return None
        logs = self.settings.path(self.settings.xl_log_dir) / "console"
        try:
            return (logs / f"guest-{name}.log").stat().st_size
        except OSError:  # the console is not logged here
            return None
