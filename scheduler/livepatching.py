"""Live patch first: the steps for it, what follows from them, and whether nobody is exposed. Pure.

A host whose exposure is covered by payloads for exactly the build that it runs gets a step for
each of them, and no guest moves for it. Where one fails, the rest is planned anew and the host is
in it as one to reboot. A host that loses its live patches by a reboot of its own gets them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.wire import Kind, Report
from scheduler.advisory import Advisory
from scheduler.choice import (
    Choice,
    Patching,
    Payload,
    Way,
    Withheld,
    by_build,
    choose,
    withheld_of,
)
from scheduler.draft import Draft
from scheduler.gate import Answer, Gate, Sight, hold
from scheduler.late_wave import is_late
from scheduler.limits import Limits
from scheduler.rollout import HostRecord, HostState, Rollout, RolloutState, Step

NO_WAVE = 0
"""Steps of live patches belong to no wave: nobody moves for them."""


def stays_in_scope(host: HostRecord | None) -> bool:
    """Once exposed, a host stays in scope whatever guests it carries: they come and go."""
    return host is not None and host.choice is not None and host.choice.in_scope


def choice_of(
    advisories: Sequence[Advisory],
    fixed_builds: Sequence[str],
    livepatch: bool,
    report: Report,
    host: HostRecord | None,
    withheld: tuple[Withheld, ...] = (),
) -> Choice:
    """What is done about a host, by what it shows now; `host`: its record, if it has one yet.

    `withheld`: what a person had reverted on it, where it has no record.
    """
    if not advisories:
        return by_build(fixed_builds, report)
    why_not, kept = (host.no_livepatch, host.withheld) if host else ("", withheld)
    return choose(advisories, report, Patching(livepatch, why_not, stays_in_scope(host), kept))


def choice_now(rollout: Rollout, host: HostRecord, report: Report) -> Choice:
    """What had to be done about a host of a rollout under way."""
    builds = rollout.fixed_builds
    return choice_of(rollout.advisories, builds, rollout.livepatch, report, host)


def patch_steps(
    choices: Mapping[str, Choice], generation: int, canaries: int, prefix: str
) -> dict[str, Step]:
    """A step for each payload of each host; the first `canaries` hosts before all others."""
    steps: dict[str, Step] = {}
    hosts = sorted(name for name, choice in choices.items() if choice.way is Way.LIVEPATCH)
    last: list[str] = []
    for number, host in enumerate(hosts):
        needs = () if number < canaries else tuple(last[:canaries])
        for index, payload in enumerate(choices[host].payloads):
            name = f"{prefix}p{number + 1}" + (f"-{index + 1}" if index else "")
            steps[name] = patch_step(name, generation, host, payload, needs)
            needs = (name,)
        last += needs
    return steps


def patch_step(
    name: str,
    generation: int,
    host: str,
    payload: Payload,
    needs: tuple[str, ...] = (),
    parent: str | None = None,
) -> Step:
    """The step that loads one payload."""
    return Step(
        id=name,
        generation=generation,
        kind=Kind.LIVEPATCH,
        wave=NO_WAVE,
        needs=needs,
        host=host,
        parent=parent,
        payload=payload.name,
        payload_sha256=payload.sha256,
        build_id=payload.build_id,
    )


def patched_at_once(rollout: Rollout) -> int:
    """How many hosts are live-patched at a time: as many as may reboot, or a tenth of all.

    A payload that takes its host down is noticed before it has reached the others.
    """
    return max(rollout.max_hosts_away, -(-rollout.hosts_in_scope // 10))


def patched(draft: Draft, step: Step) -> None:
    """A payload is applied; with the last one the host is fixed."""
    if step.parent is not None:  # part of a comeback, which is settled as a whole
        return
    left = (draft.step(name) for name in draft.book.unfinished if name != step.id)
    if any(one.kind is Kind.LIVEPATCH and one.host == step.host and not one.ended for one in left):
        return
    host = draft.host(step.host)
    boot_id = host.choice.boot_id if host.choice else ""
    draft.put_host(step.host, HostState.FIXED, closed=False, reason="", boot_id=boot_id)
    draft.say("patched", f"{step.host} is live-patched; no guest had to move", step)


def gave_up(draft: Draft, step: Step, reason: str) -> None:
    """No live patch is tried on this host any more: the next plan has it as one to reboot."""
    if step.parent is None:
        why = f"live patch {step.payload} failed: {reason}"
        draft.put_host(step.host, no_livepatch=why[:500])


def too_many_failed(draft: Draft, limits: Limits) -> str:
    """Payloads that fail on host after host would reboot the fleet: a person is asked."""
    hosts = [draft.host(name) for name in sorted(draft.book.hosts)]
    failed = [host for host in hosts if host.no_livepatch]
    if len(failed) < draft.rollout.livepatch_doubts + limits.max_failed_livepatches:
        return ""
    draft.put_rollout(livepatch_doubts=len(failed))
    return (
        f"live patches failed on {len(failed)} hosts: {failed[-1].name}: {failed[-1].no_livepatch}"
    )


def watch(draft: Draft, sight: Sight) -> str:
    """Load again what a host lost by rebooting by itself; returns why to plan anew, if so."""
    if draft.rollout.state is not RolloutState.RUNNING:
        return ""
    for name, host in draft.book.hosts.items():
        if not host.boot_id or host.state not in (HostState.FIXED, HostState.UNAFFECTED):
            continue
        report = sight.report(name)
        if isinstance(report, str) or report.boot_id == host.boot_id:
            continue
        why = _rebooted(draft, host, report)
        if why:
            return why
    return ""


def _rebooted(draft: Draft, host: HostRecord, report: Report) -> str:
    choice = choice_now(draft.rollout, host, report)
    draft.put_host(host.name, boot_id=report.boot_id)
    if not choice.in_scope:
        return ""
    text = f"{host.name} rebooted by itself and is exposed again: {choice.reason}"
    draft.say("exposed", text, host=host.name)
    if choice.way is Way.REBOOT:
        return text
    draft.put_host(host.name, HostState.WAITING, closed=True, choice=choice, reason=text)
    number = sum(step.host == host.name for step in draft.book.steps.values()) + 1
    needs: tuple[str, ...] = ()
    for index, payload in enumerate(choice.payloads):
        name = f"again-{draft.rollout.generation}-{number}-{len(draft.book.steps) + index}"
        draft.add_step(patch_step(name, draft.rollout.generation, host.name, payload, needs))
        needs = (name,)
    return ""


def not_yet(draft: Draft, step: Step) -> Gate | None:
    """No guest is sent to a host that has to be live-patched again first; no payload is loaded
    where a person had it reverted after the plan was made."""
    if step.kind is Kind.LIVEPATCH:
        found = withheld_of(draft.host(step.host).withheld, step.payload, step.build_id)
        return Gate(Answer.DIFFERS, found.why) if found else None
    host = draft.host(step.destination) if step.destination else None
    again = host is not None and host.closed and host.wave is None
    if host is None or not again or host.state is not HostState.WAITING:
        return None
    return hold(f"{host.name} has to be live-patched again before it takes guests")


def already_safe(draft: Draft, step: Step, sight: Sight) -> Gate | None:
    """No host is rebooted that is safe by now: somebody did it, or a server forgot that we did."""
    rollout, report = draft.rollout, sight.report(step.host)
    if step.kind is not Kind.REBOOT or isinstance(report, str):
        return None
    told = bool(rollout.advisories or rollout.fixed_builds)
    if not told or choice_now(rollout, draft.host(step.host), report).in_scope:
        return None
    return Gate(Answer.DIFFERS, f"{step.host} is safe already: it is not rebooted again")


def still_exposed(draft: Draft, sight: Sight) -> str:
    """Why a rollout without a step left is not complete, by what the agents show; empty: it is."""
    rollout = draft.rollout
    if not rollout.advisories and not rollout.fixed_builds:
        return ""
    for name in sorted(draft.book.hosts):
        host = draft.host(name)
        report = sight.report(name)
        if host.state is HostState.BLOCKED or host.left_out or isinstance(report, str):
            continue
        if is_late(draft, name):
            continue
        choice = choice_now(rollout, host, report)
        if choice.in_scope:
            return f"{name} is exposed: {choice.reason}"
    return ""
