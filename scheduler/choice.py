"""How a host becomes safe: by live patch where one fits, else by a reboot; each with its reason.

Pure. What counts is the build id of the hypervisor that runs: a payload fits exactly one build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agents.wire import Report
from scheduler.advisory import Advisory, Exposure, old_microcode, payload_name, standing
from scheduler.frozen import Frozen

PAYLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}")
"""What an order may name (`agents.wire.PayloadName`)."""

SHOWN_CHARS = 12
"""Of a build id, in a sentence."""


class Way(StrEnum):
    """What a rollout does about a host, one line of meaning each."""

    FIXED = "fixed"  # nothing: what runs is fixed, or live-patched, already
    NOT_AFFECTED = "not_affected"  # nothing: it carries no guest of an affected type
    UNKNOWN = "unknown"  # nothing: nobody says what a fixed host looks like
    LIVEPATCH = "livepatch"  # payloads are loaded; no guest moves for it
    REBOOT = "reboot"  # it is emptied and rebooted


class Payload(Frozen):
    """A live patch for one build; the host has it as `NAME.livepatch` in its payload directory."""

    name: str
    build_id: str
    sha256: str | None = None  # None: nobody said; then only the name and the build id count
    advisories: tuple[str, ...] = ()


class Withheld(Frozen):
    """A payload that a person had reverted on a host: not loaded there, for that build."""

    payload: str
    build_id: str
    why: str


def withheld_of(
    withheld: Sequence[Withheld], payload: str | None, build_id: str | None
) -> Withheld | None:
    """What keeps this payload from being loaded on a host that runs this build, if anything."""
    found = (one for one in withheld if (one.payload, one.build_id) == (payload, build_id))
    return next(found, None)


class Choice(Frozen):
    """What is done about a host, and why; payloads in the order in which they are loaded."""

    way: Way
    reason: str
    payloads: tuple[Payload, ...] = ()
    boot_id: str = ""  # of the look that it was made on, as are the next two
    build_id: str = ""
    livepatches: tuple[str, ...] = ()

    @property
    def in_scope(self) -> bool:
        """Whether anything has to be done."""
        return self.way in (Way.LIVEPATCH, Way.REBOOT)


@dataclass(frozen=True)
class Patching:
    """What is known of live-patching a host, beside its report."""

    allowed: bool = True
    why_not: str = ""  # said where it is not allowed, or has failed on this host
    whatever_it_carries: bool = False  # a host once in scope stays: guests come and go
    withheld: tuple[Withheld, ...] = ()


def choose(advisories: Sequence[Advisory], report: Report, patching: Patching) -> Choice:
    """What to do about this host for all of these advisories together."""
    found = [(one, standing(one, report, patching.whatever_it_carries)) for one in advisories]
    exposing = [one for one, seen in found if seen.exposure is Exposure.EXPOSED]
    if exposing:
        return _way_out(exposing, report, patching)
    for exposure, way in NOTHING_TO_DO:
        reasons = [seen.reason for _, seen in found if seen.exposure is exposure]
        if reasons:
            return _choice(way, reasons[0], report)
    reason = "; ".join(dict.fromkeys(seen.reason for _, seen in found))
    return _choice(Way.FIXED, f"fixed already: {reason}", report)


def _choice(way: Way, reason: str, report: Report, payloads: tuple[Payload, ...] = ()) -> Choice:
    return Choice(
        way=way,
        reason=reason,
        payloads=payloads,
        boot_id=report.boot_id,
        build_id=report.build_id,
        livepatches=report.livepatches,
    )


NOTHING_TO_DO = ((Exposure.UNKNOWN, Way.UNKNOWN), (Exposure.NOT_AFFECTED, Way.NOT_AFFECTED))


def by_build(fixed_builds: Sequence[str], report: Report) -> Choice:
    """The choice where only builds are known that count as fixed."""
    shown = report.build_id[:SHOWN_CHARS] or "unknown"
    if report.build_id in fixed_builds:
        return _choice(Way.FIXED, f"fixed already: build {shown} is fixed", report)
    reason = f"reboot: build {shown} is not fixed, and no live patch is known"
    return _choice(Way.REBOOT, reason, report)


def _way_out(exposing: Sequence[Advisory], report: Report, patching: Patching) -> Choice:
    payloads = payloads_for(exposing, report)
    why_not = _why_not(exposing, payloads, report, patching)
    names = ", ".join(one.id for one in exposing)
    if why_not:
        return _choice(Way.REBOOT, f"reboot for {names}: {why_not}", report)
    shown = ", ".join(payload.name for payload in payloads)
    reason = (
        f"live patch {shown}: fits build {report.build_id[:SHOWN_CHARS]}, and covers {names}, "
        "all that expose it"
    )
    return _choice(Way.LIVEPATCH, reason, report, payloads)


def _why_not(
    exposing: Sequence[Advisory],
    payloads: Sequence[Payload],
    report: Report,
    patching: Patching,
) -> str:
    """Why this host is not live-patched; empty where it can be."""
    if not patching.allowed or patching.why_not:
        return patching.why_not or "live patches are not wanted"
    covered = {name for payload in payloads for name in payload.advisories}
    missing = [one.id for one in exposing if one.id not in covered]
    if missing:
        shown = report.build_id[:SHOWN_CHARS] or "that is not known"
        return f"no payload of {', '.join(missing)} for build {shown}"
    old = [text for one in exposing if (text := old_microcode(one, report))]
    if old:
        return f"{old[0]}, which no live patch changes"
    if "livepatch" not in report.offers:
        return "xen-livepatch does not work on it"
    kept = [withheld_of(patching.withheld, one.name, report.build_id) for one in payloads]
    if reverted := next(filter(None, kept), None):
        return reverted.why
    odd = [payload.name for payload in payloads if not PAYLOAD_NAME.fullmatch(payload.name)]
    return f"{odd[0]!r} is no name of a payload" if odd else ""


def payloads_for(
    advisories: Sequence[Advisory], report: Report, withheld: Sequence[Withheld] = ()
) -> tuple[Payload, ...]:
    """The payloads that these advisories have for the running build, each once, in their order.

    Without those that are applied already, or withheld.
    """
    found: dict[str, Payload] = {}
    for one in advisories:
        file = one.livepatches.get(report.build_id)
        if not file:
            continue
        name = payload_name(file)
        if withheld_of(withheld, name, report.build_id):
            continue
        before = found.get(name)
        found[name] = Payload(
            name=name,
            build_id=report.build_id,
            sha256=one.livepatch_sha256s.get(report.build_id) or (before and before.sha256),
            advisories=(*(before.advisories if before else ()), one.id),
        )
    return tuple(payload for name, payload in found.items() if name not in report.livepatches)


def not_on_host(payload: Payload, report: Report) -> str:
    """Why the payload's file cannot be loaded there, as its agent sees it; empty: it can."""
    if report.payloads is None:  # an agent that does not look for them: its gate will tell
        return ""
    found = report.payloads.get(payload.name)
    where = f"{payload.name}.livepatch in the payload directory of {report.host}"
    if found is None:
        return f"there is no {where}: copy it there"
    if payload.sha256 is not None and found != payload.sha256:
        return f"{where} has SHA-256 {found[:16]}…, not {payload.sha256[:16]}…: copy it again"
    return ""


def without_payload(choices: Mapping[str, Choice], reports: Sequence[Report]) -> list[str]:
    """A line for each host that is to be live-patched and does not have the file."""
    return [
        line
        for report in reports
        for payload in choices[report.host].payloads
        if (line := not_on_host(payload, report))
    ]
