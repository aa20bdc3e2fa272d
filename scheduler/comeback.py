"""A host is back from its reboot: is it whole, and what has to be loaded before it takes guests?

Pure. Beside its new boot id and build: what it offered before (bridges, storage, CPU pools), its
microcode, and the live patches that the new binary does not contain. Until all of that is there
the host stays closed; after a limit it is blocked, and a doubt stops the rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from agents.settle import Outcome, Retry, Verdict
from agents.wire import Kind, Report
from scheduler.advisory import Advisory, Exposure, payload_name, standing
from scheduler.choice import SHOWN_CHARS, Payload, payloads_for, withheld_of
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.limits import Limits
from scheduler.livepatching import patch_step
from scheduler.rollout import (
    HostRecord,
    HostState,
    RolloutState,
    Shown,
    Step,
    StepState,
    attempt_id,
)

OFFERED = ("bridge:", "storage:", "cpupool:")
"""What guests cannot do without, and what a boot can lose."""
LACKING = "lacking"
"""The outcome of a reboot after which the host is back, and not whole."""


@dataclass(frozen=True)
class Comeback(Verdict):
    """What looking at a host that rebooted showed."""

    after: Shown | None = None
    lacking: tuple[str, ...] = ()
    payloads: tuple[Payload, ...] = ()  # to be loaded before it takes guests


def shown(report: Report) -> Shown:
    """The facts that are compared before and after."""
    return Shown(
        boot_id=report.boot_id,
        build_id=report.build_id,
        livepatches=report.livepatches,
        microcode=report.microcode,
        offers=report.offers,
    )


def remember(draft: Draft, step: Step, report: Report | None) -> None:
    """Right before a reboot is ordered: what the host offers now."""
    if step.kind is Kind.REBOOT and report is not None:
        draft.put_host(step.host, before=shown(report))


def judge(
    host: HostRecord, report: Report, advisories: Sequence[Advisory], keeps: Sequence[Advisory]
) -> Comeback:
    """What a host with a new boot id and a build that counts still lacks, if anything."""
    after = shown(report)
    exposing = [one for one in advisories if _exposed(one, report)]
    undone = [one for one in keeps if _was_patched(one, host) and _exposed(one, report)]
    payloads = payloads_for([*exposing, *undone], report, host.withheld)
    covered = {name for payload in payloads for name in payload.advisories}
    bare = next((one for one in exposing if one.id not in covered), None)
    if bare is not None:
        why = standing(bare, report, whatever_it_carries=True).reason
        reason = f"{host.name} came back and is still exposed to {bare.id}: {why}"
        return Comeback(Outcome.STAYED, reason, retry=Retry.PERSON, after=after)
    lost = [_undone(one, report) for one in undone if one.id not in covered]
    lacking = (*missing(host.before, report), *lost)
    if lacking:
        reason = f"{host.name} is back without {', '.join(lacking)}"
        return Comeback(Outcome.UNKNOWN, reason, retry=Retry.LATER, after=after, lacking=lacking)
    if payloads:
        names = ", ".join(payload.name for payload in payloads)
        reason = f"{host.name} is back; {names} is loaded before it takes guests"
        return Comeback(Outcome.UNKNOWN, reason, retry=Retry.LATER, after=after, payloads=payloads)
    return Comeback(Outcome.DONE, _well(host, report), after=after)


def ailing(step: Step, report: Report | None) -> Comeback | None:
    """A host that is back, by its boot id, and of which its agent cannot read everything.

    Without xenstored no `xl` works: nothing else can be told of the host until somebody starts it.
    """
    if step.kind is not Kind.REBOOT or report is None or not report.trouble:
        return None
    if not report.boot_id or report.boot_id == step.boot_id:
        return None
    dead = next((text for text in report.trouble if "xenstore" in text), "")
    what = "its xenstored does not answer" if dead else "its agent cannot read it"
    reason = f"{report.host} is back, and {what}: {' '.join((dead or report.trouble[0]).split())}"
    lacking = ("xenstored",) if dead else ("what its agent cannot read",)
    return Comeback(Outcome.UNKNOWN, reason, retry=Retry.LATER, lacking=lacking)


def _exposed(advisory: Advisory, report: Report) -> bool:
    found = standing(advisory, report, whatever_it_carries=True)
    return found.exposure is Exposure.EXPOSED


def _was_patched(advisory: Advisory, host: HostRecord) -> bool:
    """Whether a live patch of this advisory was applied before the reboot, and nobody had it
    reverted."""
    seen = [(one.build_id, one.livepatches) for one in (host.before, host.choice) if one]
    pairs = [(payload_name(advisory.livepatches.get(b, "")), b, names) for b, names in seen]
    if any(withheld_of(host.withheld, name, build) for name, build, _ in pairs):
        return False
    return any(name in names for name, _, names in pairs)


def _undone(advisory: Advisory, report: Report) -> str:
    build = report.build_id[:SHOWN_CHARS]
    return (
        f"the fix of {advisory.id}, which was live-patched before (say with `xenroll advisory add` "
        f"that build {build} has it, or name a payload for that build)"
    )


def missing(before: Shown | None, report: Report) -> tuple[str, ...]:
    """What the host offered before its reboot and does not now; empty without knowledge."""
    if before is None:
        return ()
    offers = [one for one in before.offers if one.startswith(OFFERED)]
    lost = [one for one in offers if one not in report.offers]
    return (*lost, *_microcode(before.microcode, report.microcode))


def _microcode(before: str, after: str) -> tuple[str, ...]:
    if not before or (after and int(after, 16) >= int(before, 16)):
        return ()
    found = f"has {after}" if after else "does not tell it"
    return (f"microcode {before} (it {found})",)


def _well(host: HostRecord, report: Report) -> str:
    before = host.before.microcode if host.before else ""
    changed = f", microcode {before} -> {report.microcode}" if before != report.microcode else ""
    patches = f", live patches {', '.join(report.livepatches)}" if report.livepatches else ""
    return f"{host.name} is back with boot id {report.boot_id}{changed}{patches}"


def come_back(draft: Draft, step: Step, verdict: Comeback, limits: Limits) -> str:
    """Follow a look at a host that came back and is not whole; returns a doubt, or nothing."""
    if verdict.after != draft.host(step.host).after:
        draft.put_host(step.host, after=verdict.after)
    aborting = draft.rollout.state is RolloutState.ABORTING
    if verdict.payloads and not aborting and step.mends < limits.max_mends:
        _load(draft, step, verdict)
        return ""
    reason = verdict.reason
    if verdict.payloads:
        reason = f"{step.host} is back and lacks {', '.join(p.name for p in verdict.payloads)}"
        reason += f": {_last_failure(draft, step)}" if step.mends else ": nothing new is loaded"
    since = step.held_since or draft.now
    if step.held_since is None or step.reason != reason:
        step = draft.put_step(step, held_since=since, reason=reason, outcome=LACKING)
        draft.put_host(step.host, reason=reason)
        draft.say("lacking", reason, step)
    late = draft.now - since > timedelta(seconds=limits.comeback_limit_s)
    return _block(draft, step, verdict, reason) if late or aborting else ""


def _load(draft: Draft, step: Step, verdict: Comeback) -> None:
    number = step.mends + 1
    reason = verdict.reason
    draft.put_step(step, StepState.MENDING, mends=number, reason=reason, outcome=LACKING)
    draft.say("loading", reason, step)
    needs: tuple[str, ...] = ()
    for index, payload in enumerate(verdict.payloads, 1):
        name = f"{step.id}-l{number}-{index}"
        draft.add_step(patch_step(name, step.generation, step.host, payload, needs, step.id))
        needs = (name,)


def _last_failure(draft: Draft, step: Step) -> str:
    failed = [one for one in draft.book.mends_of(step.id) if one.state is StepState.FAILED]
    return failed[-1].reason if failed else "not applied"


def _block(draft: Draft, step: Step, verdict: Comeback, reason: str) -> str:
    """It takes no guest in this rollout, unless it recovers; who aborts leaves nothing closed."""
    closed = draft.rollout.state is not RolloutState.ABORTING
    lacking = verdict.lacking or tuple(payload.name for payload in verdict.payloads)
    draft.put_host(
        step.host, HostState.BLOCKED, reason=reason, lacking=lacking, closed=closed, wave=None
    )
    draft.put_step(step, StepState.FAILED, reason=reason, ended_at=draft.now)
    draft.drop(step.host, attempt_id(draft.rollout.id, step.id, step.attempt))
    draft.say("failed", reason, step)
    return reason


def recover(draft: Draft, sight: Sight) -> None:
    """Hosts that were blocked for what they lacked, and have it now, are used again."""
    for name, host in draft.book.hosts.items():
        if not host.lacking or host.state is not HostState.BLOCKED:
            continue
        report = sight.report(name)
        if isinstance(report, str) or draft.rollout.state is RolloutState.ABORTING:
            continue
        found = judge(host, report, draft.rollout.advisories, draft.rollout.keeps)
        if found.outcome is Outcome.DONE:
            fixed(draft, name, found)
            draft.say("recovered", f"{found.reason}: it has what it lacked", host=name)


def fixed(draft: Draft, name: str, verdict: Verdict) -> None:
    """The host is back and whole: it takes guests again."""
    after = verdict.after if isinstance(verdict, Comeback) else None
    boot_id = after.boot_id if after else ""
    reboots = draft.host(name).reboots
    draft.put_host(
        name,
        HostState.FIXED,
        closed=draft.rollout.gates.hooks.after_reboot is not None,  # until that has passed
        reason="",
        lacking=(),
        after=after,
        boot_id=boot_id,
        reboots=max(1, reboots),
    )
