"""Asks this host how its guests share the CPUs. It never holds a step up: what cannot be read is
not known, and said to be so."""

from __future__ import annotations

from pydantic import ValidationError

from agents import xl, xl_parse
from agents.command import CommandError, run
from agents.settings import Settings
from agents.tuning import SCHEDULERS, Place, Share, parse_shares, parse_vcpus, tuning
from agents.wire import Tuning
from agents.xl_parse import Info, ParseError

UNREAD = (CommandError, ParseError, ValidationError)


def tunings(settings: Settings, info: Info) -> dict[int, Tuning]:
    """Every domain's. Raises CommandError, ParseError, ValidationError."""
    vcpus = parse_vcpus(run(xl.vcpus(settings), settings.xl_timeout_s).stdout)
    shares: dict[int, Share] = {}
    for scheduler in SCHEDULERS:
        if not set(vcpus) <= set(shares):
            said = run(xl.shares(settings, scheduler), settings.xl_timeout_s).stdout
            shares |= parse_shares(said, scheduler)
    numa = info.nodes > 1
    return {domid: tuning(rows, shares.get(domid), numa) for domid, rows in vcpus.items()}


class Tunings:
    """What was read last; anew where the guests changed, or somebody asked for a look."""

    def __init__(self) -> None:
        self.by_domid: dict[int, Tuning] = {}
        self.answered = -1

    def refresh(self, settings: Settings, info: Info, changed: bool, answers: int) -> None:
        """None of them is known where they cannot be read."""
        if not changed and answers == self.answered:
            return
        self.answered = answers
        try:
            self.by_domid = tunings(settings, info)
        except UNREAD:
            self.by_domid = {}


def tuning_of(settings: Settings, domid: int, info: Info) -> tuple[Tuning | None, str]:
    """One domain's, or why it is not known."""
    try:
        found = tunings(settings, info).get(domid)
    except UNREAD as error:
        return None, str(error)
    return found, "" if found else f"xl vcpu-list does not show domain {domid}"


def place(settings: Settings, info: Info) -> Place:
    """What of this host decides about putting a tuning back. Raises CommandError, ParseError."""
    pools = xl_parse.parse_cpupools(run(xl.list_cpupools(settings), settings.xl_timeout_s).stdout)
    return Place(info.cpus, {pool.name: pool.scheduler for pool in pools if pool.active})
