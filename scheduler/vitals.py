"""Signs of life of a guest: hints, never a verdict. Pure.

An idle guest's CPU clock ticks slowly, and xl prints tenths of a second; so only a clock that
stands still for long is worth a hint, and a network or console that stands still beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.wire import GuestSeen, Report

QUIET_AFTER_S = 120.0


@dataclass(frozen=True)
class _Sign:
    """What a counter showed, and since when it shows the same."""

    life: tuple[str, int]
    value: float
    since: datetime


class Vitals:
    """Remembers counters of the guests that it is asked about."""

    def __init__(self) -> None:
        self._signs: dict[tuple[str, str], _Sign] = {}

    def quiet(self, guest: GuestSeen, report: Report, now: datetime) -> str:
        """What stands still and for how long, in words; empty while its CPU clock ticks."""
        cpu = next((d.cpu_time_s for d in report.domains if d.domid == guest.domid), None)
        signs = {"CPU time": cpu, "network": guest.net_bytes, "console": guest.console_bytes}
        life = (report.boot_id, guest.domid)
        still_s = {
            name: self._still_s((guest.uuid, name), life, value, now)
            for name, value in signs.items()
            if value is not None
        }
        if still_s.get("CPU time", 0.0) < QUIET_AFTER_S:
            return ""
        still = [name for name, seconds in still_s.items() if seconds >= QUIET_AFTER_S]
        return f"{', '.join(still)} stood still for {QUIET_AFTER_S:.0f} s or longer"

    def _still_s(
        self, key: tuple[str, str], life: tuple[str, int], value: float, now: datetime
    ) -> float:
        before = self._signs.get(key)
        if before is None or before.life != life or before.value != value:
            before = self._signs[key] = _Sign(life, value, now)
        return (now - before.since).total_seconds()
