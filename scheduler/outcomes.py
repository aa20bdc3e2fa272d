"""What follows from what a host says of an attempt, and from what looking at the hosts showed."""

from __future__ import annotations

from datetime import timedelta

from agents.settle import Outcome, Retry, Verdict
from agents.wire import Attempt, AttemptState, Kind, RefusalCode, Wanted
from scheduler import retuning
from scheduler.budget import over_budget
from scheduler.comeback import Comeback, come_back, fixed
from scheduler.draft import Draft
from scheduler.handout import fail
from scheduler.limits import Limits
from scheduler.livepatching import gave_up, patched
from scheduler.retries import failed_again, try_later
from scheduler.rollout import HostState, RolloutState, Step, StepState, attempt_id
from scheduler.standstill import over

NOT_NOW = {RefusalCode.PAUSED, RefusalCode.ABORTED, RefusalCode.REVOKED}
MOST_STALE = 12
"""Refusals of this kind in a row that orders which lay for too long, or an abort, can explain."""
SUCCESS = {Outcome.MOVED, Outcome.DONE}


def seen(draft: Draft, step: Step, attempt: Attempt, limits: Limits) -> None:
    """A host says how far the newest attempt of a step has come."""
    newest = attempt_id(draft.rollout.id, step.id, step.attempt)
    if attempt.attempt_id != newest or step.state not in (StepState.ORDERED, StepState.RUNNING):
        return
    if attempt.state is AttemptState.RUNNING:
        _started(draft, step)
    elif attempt.state is AttemptState.REFUSED:
        _refused(draft, step, attempt, limits)
    else:
        step = _started(draft, step)
        draft.put_step(step, StepState.SETTLING, held_since=None)


def _started(draft: Draft, step: Step) -> Step:
    if step.state is not StepState.ORDERED:
        return step
    draft.say("started", describe(step), step)
    return draft.put_step(
        step, StepState.RUNNING, started_at=draft.now, tries=step.tries + 1, refusals=0, stale=0
    )


def _refused(draft: Draft, step: Step, attempt: Attempt, limits: Limits) -> None:
    _drop(draft, step)
    reason = attempt.reason or str(attempt.refusal)
    waiting = draft.put_step(step, StepState.WAITING, reason=reason, ordered_at=None)
    if step.kind is Kind.REBOOT:
        draft.put_host(step.host, HostState.DRAINING)  # it is not away, and is to be heard
    if attempt.refusal in NOT_NOW:
        return
    if attempt.refusal is RefusalCode.STALE:
        _stale(draft, waiting, reason, limits)
        return
    draft.say("refused", f"{step.host} refused: {reason}", step)
    if step.refusals + 1 >= limits.max_tries:
        if step.kind is Kind.LIVEPATCH and attempt.refusal is not RefusalCode.GATE:
            fail(draft, waiting, reason)  # says nothing of the payload
            return
        _give_up(draft, waiting, reason)
        return
    wait = timedelta(seconds=limits.gate_backoff_s)
    draft.put_step(waiting, refusals=step.refusals + 1, not_before=draft.now + wait)


def _stale(draft: Draft, step: Step, reason: str, limits: Limits) -> None:
    """It is ordered anew with the epoch of now; a host that knows a newer one needs a person."""
    wait = timedelta(seconds=limits.gate_backoff_s)
    draft.put_step(step, stale=step.stale + 1, not_before=draft.now + wait)
    if step.stale + 1 < MOST_STALE:
        return
    draft.put_step(draft.step(step.id), stale=0)
    draft.say("refused", f"{step.host} refused {MOST_STALE} times: {reason}", step)
    stop(draft, f"{describe(step)}: {step.host} refuses it again and again: {reason}")


def _drop(draft: Draft, step: Step) -> None:
    draft.drop(step.host, attempt_id(draft.rollout.id, step.id, step.attempt))


def settled(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    """Looking at the hosts showed what an attempt came to."""
    if step.state is not StepState.SETTLING:
        return
    if verdict.outcome is Outcome.BOTH:
        _unclear(draft, step, verdict, limits)
        stop(draft, f"two copies of {step.guest}: {verdict.reason}")
    elif verdict.mends:
        _mend(draft, step, verdict, limits)
    elif verdict.outcome is Outcome.UNKNOWN:
        _unclear(draft, step, verdict, limits)
    else:
        _ended(draft, over(draft, step), verdict, limits)


def _ended(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    if verdict.outcome in SUCCESS:
        _succeeded(draft, step, verdict)
    elif verdict.outcome is Outcome.CRASHED:
        _crashed(draft, step, verdict, limits)
    else:
        _stayed(draft, step, verdict, limits)


def _unclear(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    if isinstance(verdict, Comeback):
        doubt = come_back(draft, step, verdict, limits)
        if doubt:
            stop(draft, doubt)
        return
    since = step.held_since or draft.now
    if step.held_since is None or step.reason != verdict.reason:
        outcome = str(verdict.outcome)
        draft.put_step(step, held_since=since, reason=verdict.reason, outcome=outcome)
        draft.say(outcome, verdict.reason, step)
    if step.kind is Kind.REBOOT:  # `scheduler.deviation` knows whether its host is heard
        return
    too_long = draft.now - since > timedelta(seconds=limits.settle_limit_s)
    if not too_long or _waits_for_silent(draft, step):
        return
    if step.kind is Kind.RETUNE:
        _give_up(draft, draft.step(step.id), verdict.reason)
    else:
        stop(draft, f"{describe(step)}: nobody can tell how it ended: {verdict.reason}")


def _waits_for_silent(draft: Draft, step: Step) -> bool:
    """Whether an end of a move is silent: `scheduler.aside` sees to that, and the rest goes on."""
    hosts = [draft.host(name) for name in step.hosts if name in draft.book.hosts]
    return step.kind is Kind.MOVE and any(host.silent or host.aside for host in hosts)


def stop(draft: Draft, reason: str) -> None:
    """Doubt: nothing new starts until a person resumes."""
    if draft.rollout.state in (RolloutState.RUNNING, RolloutState.REPLANNING):
        # The same write pauses the hosts: a person's next word is told from that, at any moment.
        hold = draft.held(reason, "xenroll")
        draft.put_rollout(RolloutState.STOPPED, hold=hold, wanted=Wanted.PAUSE)
        draft.say("stopped", reason)


def _mend(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    if step.mends >= limits.max_mends:
        _unclear(draft, step, verdict, limits)
        stop(draft, f"{describe(step)}: cleaning up did not help: {verdict.reason}")
        return
    number = step.mends + 1
    draft.put_step(
        step, StepState.MENDING, mends=number, reason=verdict.reason, outcome=str(verdict.outcome)
    )
    draft.say("mending", verdict.reason, step)
    for index, mend in enumerate(verdict.mends, 1):
        name = f"{step.id}-m{number}{'abcdefgh'[index - 1]}"
        facts = {"guest": mend.guest, "mend": mend.action, "domid": mend.domid, "reason": mend.why}
        draft.add_step(step.child(name, Kind.MEND, mend.host, **facts))


def _succeeded(draft: Draft, step: Step, verdict: Verdict) -> None:
    _done(draft, step, verdict)
    draft.say(str(verdict.outcome), verdict.reason or describe(step), step)
    _note_success(draft, step, verdict)
    if verdict.retune:
        retuning.begin(draft, step, verdict.retune)
    if draft.rollout.replans:
        draft.put_rollout(replans=0)


def _done(draft: Draft, step: Step, verdict: Verdict) -> None:
    _drop(draft, step)
    draft.put_step(
        step,
        StepState.DONE,
        outcome=str(verdict.outcome),
        reason=verdict.reason,
        ended_at=draft.now,
        held_since=None,
        blackout=verdict.blackout,
        arrived_domid=verdict.arrived_domid,
        arrived_boot_id=verdict.arrived_boot_id,
    )


def _note_success(draft: Draft, step: Step, verdict: Verdict) -> None:
    guest = draft.guest(step.guest, step.host) if step.guest else None
    if step.kind is Kind.MOVE and guest:
        arrived = {"host": step.destination, "moves": guest.moves + 1}
        draft.put_guest(guest.name, guest.host, **arrived, failures=0, rest_until=None)
    elif step.kind is Kind.STOP and guest:
        draft.put_guest(guest.name, guest.host, host=step.host, down=True, down_since=draft.now)
    elif step.kind is Kind.START and guest:
        draft.put_guest(
            guest.name, guest.host, host=step.host, down=False, restarts=guest.restarts + 1
        )
    elif step.kind is Kind.REBOOT:
        draft.put_host(step.host, reboots=draft.host(step.host).reboots + 1)
        fixed(draft, step.host, verdict)
    elif step.kind is Kind.LIVEPATCH:
        patched(draft, step)


def _crashed(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    _done(draft, step, verdict)
    where = step.destination or step.host
    draft.put_guest(step.guest or "", step.host, host=where, crashed=True, reason=verdict.reason)
    draft.say("crashed", verdict.reason, step)
    reason = over_budget(draft, limits)
    if reason:
        stop(draft, reason)


def _stayed(draft: Draft, step: Step, verdict: Verdict, limits: Limits) -> None:
    _drop(draft, step)
    failures = failed_again(draft, step, verdict.reason)
    draft.say("stayed", verdict.reason, step)
    again = verdict.retry in (Retry.SAME, Retry.LATER)
    if again and failures < limits.max_tries:
        try_later(draft, step, verdict, failures, limits)
        return
    if verdict.retry is Retry.OTHER_DESTINATION and step.guest and step.destination:
        guest = draft.guest(step.guest, step.host)
        if len(guest.avoid) + 1 < limits.max_tries and failures < limits.max_tries:
            draft.put_guest(guest.name, guest.host, avoid=(*guest.avoid, step.destination))
            fail(draft, step, verdict.reason)
            return
    _give_up(draft, step, verdict.reason)


def _give_up(draft: Draft, step: Step, reason: str) -> None:
    """The step will not work: the guest (or the host) is left out of what is planned next."""
    if step.kind in (Kind.MEND, Kind.RETUNE):
        fail(draft, step, reason)  # it has a parent: nothing is planned anew for it
        return
    if step.kind is Kind.LIVEPATCH:
        gave_up(draft, step, reason)
    elif step.kind is Kind.MOVE and step.guest:
        # For what it did itself: no word about its class has it moved again.
        updates = {"evacuation": "give_up", "quarantine": "", "reason": reason}
        draft.put_guest(step.guest, step.host, **updates)
    elif step.kind is Kind.STOP and step.guest:
        draft.put_guest(step.guest, step.host, evacuation="hold", reason=reason)
    elif step.kind is Kind.REBOOT:
        draft.put_host(step.host, HostState.BLOCKED, reason=reason)
        stop(draft, f"{step.host} could not be rebooted: {reason}")
    elif step.kind is Kind.START:
        stop(draft, f"{step.guest} could not be started again on {step.host}: {reason}")
    fail(draft, step, reason)


def describe(step: Step) -> str:
    """A step in words."""
    if step.kind is Kind.MOVE:
        return f"move {step.guest} from {step.host} to {step.destination}"
    if step.kind is Kind.MEND:
        return f"{step.mend} {step.guest} on {step.host}"
    if step.kind is Kind.LIVEPATCH:
        return f"live patch {step.payload} on {step.host}"
    return f"{step.kind} {step.guest or step.host}" + (f" on {step.host}" if step.guest else "")
