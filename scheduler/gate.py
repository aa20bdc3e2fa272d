"""The controller's checks right before a step is ordered, on fresh reports of the hosts it touches.

The host itself checks again right before the start (`agents.steps`); here is what only somebody
who sees both ends can tell. Pure: reports in, an answer in words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agents.wire import GuestSeen, Kind, Report
from scheduler.choice import SHOWN_CHARS, Payload, not_on_host
from scheduler.rollout import Step


class Sight(Protocol):
    """What can be seen of the fleet right now."""

    def report(self, host: str) -> Report | str:
        """The host's newest report if it is fresh and whole, else a sentence: why not."""

    def silent(self) -> Mapping[str, str]:
        """Hosts of the fleet that have said nothing for too long, and since when, in words."""

    def age_s(self, host: str) -> float:
        """Seconds since its newest report was heard; infinite where none is known."""

    def address(self, host: str) -> str:
        """What `xl migrate` is given to reach a host."""

    def where(self, guest: str) -> tuple[str, ...]:
        """The hosts whose newest reports show a guest of that name, or a domain of that UUID."""

    def named_class(self, guest: str) -> str | None:
        """The class that the inventory gives a guest; None: it is what its host says."""


class Answer(StrEnum):
    """What a gate says."""

    GO = "go"
    HOLD = "hold"  # not now: look again later
    MOOT = "moot"  # there is nothing to do any more
    DIFFERS = "differs"  # the world is not what the plan was made for


class Blame(StrEnum):
    """Whom a new plan has to do without, if a gate never opens."""

    NOBODY = "nobody"
    GUEST = "guest"
    DESTINATION = "destination"
    PAYLOAD = "payload"  # of a live patch


@dataclass(frozen=True)
class Gate:
    """A gate's answer and its reason."""

    answer: Answer
    reason: str = ""
    blame: Blame = Blame.NOBODY
    guest: GuestSeen | None = None
    source: Report | None = None
    destination: Report | None = None


def hold(reason: str, blame: Blame = Blame.NOBODY) -> Gate:
    """Not now."""
    return Gate(Answer.HOLD, reason, blame)


Arriving = Mapping[str, Mapping[str, int]]
"""Moves under way: destination -> guest -> the room that it takes there in the end, in MiB."""


def check(step: Step, sight: Sight, arriving: Arriving) -> Gate:
    """May this step start now, beside what is under way?"""
    source = sight.report(step.host)
    if isinstance(source, str):
        return hold(source)
    if step.kind is Kind.MOVE:
        return _move(step, source, sight, arriving)
    if step.kind is Kind.REBOOT:
        return _reboot(step, source)
    if step.kind in (Kind.STOP, Kind.START):
        return _restart(step, source, sight)
    if step.kind is Kind.LIVEPATCH:
        return _livepatch(step, source)
    return Gate(Answer.GO, source=source)


def find(report: Report, name: str) -> GuestSeen | None:
    """The guest of that name on a host."""
    return next((guest for guest in report.guests if guest.name == name), None)


def _move(step: Step, source: Report, sight: Sight, arriving: Arriving) -> Gate:
    destination = sight.report(step.destination or "")
    if isinstance(destination, str):
        return hold(destination)
    guest = find(source, step.guest or "")
    if guest is None:
        return _gone(step, source, destination, sight)
    for obstacle in guest.obstacles:
        text = f"{guest.name}: {obstacle.text}"
        return Gate(Answer.DIFFERS, text) if obstacle.lasting else hold(text, Blame.GUEST)
    promised_mib = still_to_come_mib(destination, arriving.get(destination.host, {}))
    wrong = _destination_refuses(guest, source, destination, promised_mib)
    if wrong:
        return hold(wrong, Blame.DESTINATION)
    return Gate(Answer.GO, guest=guest, source=source, destination=destination)


def _gone(step: Step, source: Report, destination: Report, sight: Sight) -> Gate:
    for report in (source, destination):
        if any(left.name == step.guest for left in report.leftovers):
            return hold(f"{step.guest} is in the middle of something on {report.host}")
    where = sight.where(step.guest or "")
    if where == (destination.host,):
        return Gate(Answer.MOOT, f"{step.guest} is on {destination.host} already")
    if not where:
        return Gate(Answer.MOOT, f"{step.guest} runs nowhere any more: nothing to move")
    return Gate(Answer.DIFFERS, f"{step.guest} is on {where[0]}, not on {source.host} any more")


def still_to_come_mib(destination: Report, arriving: Mapping[str, int]) -> int:
    """Room promised to moves under way that the destination's free memory does not lack yet."""
    seen_mib = {domain.name: domain.memory_mib for domain in destination.domains}
    left_mib = 0
    for guest, room_mib in arriving.items():
        here_mib = max(seen_mib.get(guest, 0), seen_mib.get(f"{guest}--incoming", 0))
        left_mib += max(0, room_mib - here_mib)
    return left_mib


def _destination_refuses(
    guest: GuestSeen, source: Report, destination: Report, promised_mib: int
) -> str:
    clash = _clash(guest, destination)
    if clash:
        return clash
    missing = [need for need in guest.needs if need not in destination.offers]
    if missing:
        return f"{destination.host} does not offer {', '.join(missing)}, which {guest.name} needs"
    wrong = _other_cpu(guest, source, destination)
    if wrong:
        return wrong
    if version(destination.xen) < version(source.xen):
        return f"{destination.host} runs Xen {destination.xen}, lower than {source.xen}"
    need_mib = guest.memory_mib + guest.overhead_mib
    free_mib = destination.memory_free_mib - promised_mib
    if free_mib < need_mib:
        return f"{destination.host} is {need_mib - free_mib} MiB short of room for {guest.name}"
    return ""


def _other_cpu(guest: GuestSeen, source: Report, destination: Report) -> str:
    """A guest that knows its host's CPU can crash on, or be refused by, one that has less.

    One that was levelled when it was created uses less than its host has; there `xl` decides.
    """
    vendors = {source.cpu_vendor, destination.cpu_vendor} - {""}
    if len(vendors) > 1:
        return f"{destination.host} has a CPU of {destination.cpu_vendor}, not {source.cpu_vendor}"
    has = [one for one in source.offers if one.startswith("cpu:")]
    lacks = [one for one in has if one not in destination.offers]
    if lacks and not guest.cpu_levelled:
        return f"{destination.host} does not have {', '.join(lacks)}, which {source.host} has"
    return ""


def _clash(guest: GuestSeen, destination: Report) -> str:
    names = {guest.name, f"{guest.name}--incoming", f"{guest.name}--migratedaway"}
    for domain in destination.domains:
        if domain.name in names or domain.uuid == guest.uuid:
            return f"{destination.host} already has {domain.name} ({domain.uuid})"
    return ""


def version(xen: str) -> tuple[int, ...]:
    """`"4.17"` as numbers, so that 4.9 is lower than 4.17."""
    return tuple(int(part) for part in xen.split(".") if part.isdigit())


def _reboot(step: Step, report: Report) -> Gate:
    if report.guests:
        names = ", ".join(guest.name for guest in report.guests[:5])
        return Gate(Answer.DIFFERS, f"{report.host} is not empty: {names}")
    if report.leftovers:
        left = report.leftovers[0]
        return hold(f"{report.host} still has a {left.kind} copy of {left.name}")
    if report.receiving:
        return hold(f"{report.host} is still receiving a guest")
    return Gate(Answer.GO, source=report)


def moved_away(sight: Sight, step: Step) -> tuple[str, ...]:
    """Guests with an autostart link on a host, that other hosts show and this one does not."""
    report = sight.report(step.host)
    if isinstance(report, str):
        return ()
    links = [one.text for one in report.boot_starts if one.kind == "autostart"]
    places = {name: sight.where(name) for name in links}
    return tuple(sorted(n for n, hosts in places.items() if hosts and step.host not in hosts))


def _restart(step: Step, report: Report, sight: Sight) -> Gate:
    guest = find(report, step.guest or "")
    if step.kind is Kind.START:
        if guest is not None:
            return Gate(Answer.MOOT, f"{step.guest} runs on {report.host} already")
        return _started_elsewhere(step, sight) or Gate(Answer.GO, source=report)
    if guest is None:
        return Gate(Answer.MOOT, f"{step.guest} is not running on {report.host} any more")
    if guest.config_path is None:
        return Gate(
            Answer.DIFFERS, f"{step.guest} could not be started again: it has no configuration file"
        )
    return Gate(Answer.GO, guest=guest, source=report)


def _started_elsewhere(step: Step, sight: Sight) -> Gate | None:
    """A guest that was shut down, and that somebody may have started: never a second time."""
    for host in sight.where(step.guest or ""):
        report = sight.report(host)
        if isinstance(report, str):
            return hold(f"{step.guest} was seen on {host} last: {report}")
        return Gate(Answer.MOOT, f"{step.guest} runs on {host} already: somebody started it there")
    return None


def _livepatch(step: Step, report: Report) -> Gate:
    """The build that it fits still runs, and its file is there."""
    name = step.payload or ""
    if report.build_id != step.build_id:
        shown = report.build_id[:SHOWN_CHARS]
        return Gate(Answer.DIFFERS, f"{report.host} runs build {shown} now: {name} does not fit it")
    if name in report.livepatches:
        return Gate(Answer.MOOT, f"{name} is applied on {report.host} already")
    payload = Payload(name=name, build_id=step.build_id, sha256=step.payload_sha256)
    missing = not_on_host(payload, report)
    return hold(missing, Blame.PAYLOAD) if missing else Gate(Answer.GO, source=report)
