"""Advisories, and what each host is to them: exposed, live-patched, fixed or not affected. Pure.

What counts is what a host's agent sees: the build id of the running hypervisor, its version, the
live patches applied, in order, and the types of the guests that it carries.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from agents.wire import Report
from scheduler.frozen import Frozen

BUILD_ID = r"^[0-9a-f]{8,128}$"
Affects = Literal["pv", "hvm", "pvh", "arm", "all"]
BuildId = Annotated[str, StringConstraints(pattern=BUILD_ID)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CpuSignature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,3}-[0-9a-f]{2}-[0-9a-f]{2}$")]
Revision = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{1,16}$")]


def _versions(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError('expected versions such as ">=4.17.5"') from None
    return text


class Advisory(Frozen):
    """One security advisory, and what makes a host safe from it."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    title: str = Field(default="", max_length=500)
    cves: tuple[str, ...] = ()
    fixed_builds: tuple[BuildId, ...] = ()
    fixed_version: Annotated[str, AfterValidator(_versions)] | None = None
    livepatches: dict[BuildId, str] = Field(default_factory=dict)  # running build -> its payload
    livepatch_sha256s: dict[BuildId, Sha256] = Field(default_factory=dict)  # of those files
    microcode: dict[CpuSignature, Revision] = Field(default_factory=dict)  # the least that is safe
    affects: tuple[Affects, ...] = ("all",)
    deadline: AwareDatetime | None = None
    embargo_until: AwareDatetime | None = None
    codename: str | None = Field(default=None, min_length=1, max_length=64)

    @model_validator(mode="after")
    def _embargo_needs_a_codename(self) -> Advisory:
        if self.embargo_until is not None and self.codename is None:
            raise ValueError("an embargo needs a codename for everybody who may not know")
        return self

    @property
    def can_be_fixed(self) -> bool:
        """Whether it says what a fixed host looks like."""
        return bool(self.fixed_builds or self.fixed_version or self.livepatches)

    def shown(self, now: datetime, knows: bool) -> str:
        """Its name for somebody who may (`knows`) or may not know of it before the embargo ends."""
        hidden = self.embargo_until is not None and now < self.embargo_until and not knows
        return self.codename if hidden and self.codename else self.id


class Exposure(StrEnum):
    """What a host is to an advisory, the worst first."""

    UNKNOWN = "unknown"  # it does not report, or nothing says what a fixed host looks like
    EXPOSED = "exposed"
    LIVEPATCHED = "livepatched"  # the running build is not fixed, the payload that fits is applied
    FIXED = "fixed"
    NOT_AFFECTED = "not_affected"  # it carries no guest of an affected type


WORST_FIRST = tuple(Exposure)


class Standing(Frozen):
    """A host's exposure to one advisory, and why."""

    advisory: str
    exposure: Exposure
    reason: str


def version_of(xen_version: str) -> Version | None:
    """The numbers of a Xen version: `4.17.7-pre` counts as 4.17.7; None where there are none."""
    numbers = re.match(r"\d+(\.\d+)*", xen_version)
    return Version(numbers.group()) if numbers else None


def payload_name(file: str) -> str:
    """The name under which `xen-livepatch load FILE` shows a payload."""
    return PurePosixPath(file).stem


def telling_payloads(advisory: Advisory, now: datetime) -> list[str]:
    """Payloads whose file names give a secret advisory away: a dom0's own logs show them.

    Told by its name or a CVE's, however they are joined, or by its number of three digits or more.
    """
    if advisory.shown(now, knows=False) == advisory.id:
        return []
    names = [re.split(r"[^A-Za-z0-9]+", name) for name in (advisory.id, *advisory.cves)]
    forms = ["[^A-Za-z0-9]*".join(map(re.escape, parts)) for parts in names]
    forms += re.findall(r"\d{3,}$", advisory.id)
    telling = re.compile("|".join(rf"(?<!\d)(?:{form})(?!\d)" for form in forms), re.IGNORECASE)
    files = sorted({PurePosixPath(file).name for file in advisory.livepatches.values()})
    return [file for file in files if telling.search(file)]


def standing(advisory: Advisory, report: Report, whatever_it_carries: bool = False) -> Standing:
    """What this host is to this advisory; as if it carried guests of every type, if so wanted."""
    exposure, reason = _judge(advisory, report, whatever_it_carries)
    return Standing(advisory=advisory.id, exposure=exposure, reason=reason)


def _judge(advisory: Advisory, report: Report, whatever_it_carries: bool) -> tuple[Exposure, str]:
    if report.trouble:
        return Exposure.UNKNOWN, report.trouble[0]
    old = old_microcode(advisory, report)
    fixed = None if old else _fixed(advisory, report)
    if fixed:
        return fixed
    if not whatever_it_carries and not _concerned(advisory, report):
        return Exposure.NOT_AFFECTED, f"carries no {'/'.join(advisory.affects)} guest"
    if not advisory.can_be_fixed:
        return Exposure.UNKNOWN, "nothing says yet what a fixed host looks like"
    return Exposure.EXPOSED, old or f"Xen {report.xen_version}, build {report.build_id[:12]}"


def old_microcode(advisory: Advisory, report: Report) -> str:
    """Why the CPU's microcode is not safe; empty where it is, or nothing is asked of this CPU."""
    least = advisory.microcode.get(report.cpu_signature)
    if least is None:
        return ""
    if not report.microcode:
        return f"its microcode is not known, and at least {least} is safe"
    if int(report.microcode, 16) < int(least, 16):
        return f"its microcode is {report.microcode}, and at least {least} is safe"
    return ""


def _fixed(advisory: Advisory, report: Report) -> tuple[Exposure, str] | None:
    if report.build_id in advisory.fixed_builds:
        return Exposure.FIXED, f"build {report.build_id[:12]} is fixed"
    version = version_of(report.xen_version)
    if advisory.fixed_version and version and version in SpecifierSet(advisory.fixed_version):
        return Exposure.FIXED, f"Xen {report.xen_version} is {advisory.fixed_version}"
    payload = payload_name(advisory.livepatches.get(report.build_id, ""))
    if payload and payload in report.livepatches:
        return Exposure.LIVEPATCHED, f"live patch {payload} is applied"
    return None


def _concerned(advisory: Advisory, report: Report) -> bool:
    if "all" in advisory.affects:
        return True
    arm = any(offer.startswith("cpu:arm") for offer in report.offers)
    if arm and "arm" in advisory.affects:
        return True
    return any(guest.type in advisory.affects for guest in report.guests)


def is_patched(advisory: Advisory, report: Report) -> bool:
    """Whether a payload of it is what makes this host safe from it."""
    found = standing(advisory, report, whatever_it_carries=True)
    return found.exposure is Exposure.LIVEPATCHED


def exposed(
    advisories: Sequence[Advisory], report: Report, whatever_it_carries: bool = False
) -> Standing | None:
    """Why this host is exposed to one of them, or None."""
    standings = (standing(advisory, report, whatever_it_carries) for advisory in advisories)
    return next((one for one in standings if one.exposure is Exposure.EXPOSED), None)


def carriers(advisories: Sequence[Advisory]) -> frozenset[str]:
    """Types of guests that make a host exposed by being on it; empty where all of them do."""
    limited = [advisory for advisory in advisories if "all" not in advisory.affects]
    return frozenset(kind for advisory in limited for kind in advisory.affects if kind != "arm")


def build_ids(advisories: Sequence[Advisory]) -> tuple[str, ...]:
    """Builds that are fixed for all of them; empty where versions or payloads count as well."""
    others = (one.fixed_version or one.livepatches or not one.fixed_builds for one in advisories)
    if any(others):
        return ()
    sets = [set(advisory.fixed_builds) for advisory in advisories]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def count(standings: Mapping[str, Standing]) -> dict[str, int]:
    """Hosts by exposure, the worst first."""
    counted = Counter(one.exposure for one in standings.values())
    return {str(exposure): counted[exposure] for exposure in WORST_FIRST if counted[exposure]}
