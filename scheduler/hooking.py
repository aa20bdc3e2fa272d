"""When a host's hooks are wanted, what they hold meanwhile, and what follows from their end. Pure.

Who runs them: `scheduler.hook_runner`. A run that is written down as ended is never repeated by
itself; one that is not may have run, in part or wholly, when it is started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.wire import Kind
from scheduler.draft import Draft
from scheduler.gates import HookRun, HookStage, HookState
from scheduler.rollout import HostRecord, HostState, RolloutState, Step
from scheduler.waves import Hold

EXIT_NOTHING = 70
TAIL_CHARS = 1000
DRAINS = frozenset({Kind.MOVE, Kind.STOP, Kind.REBOOT})


@dataclass(frozen=True)
class HookEnded:
    """A hook ran to its end, or was ended; `exit_code` is None where it has none."""

    now: datetime
    host: str
    stage: HookStage
    number: int
    exit_code: int | None
    tail: str


def run_of(host: HostRecord, stage: HookStage) -> HookRun | None:
    """The newest run of a stage for this host."""
    return next((run for run in host.hooks if run.stage is stage), None)


def passed(draft: Draft, host: HostRecord, stage: HookStage) -> bool:
    """Whether this stage holds the host no more: no hook is set, or it said to go on."""
    if draft.rollout.gates.hooks.of(stage) is None:
        return True
    run = run_of(host, stage)
    well = (HookState.PASSED, HookState.NOTHING)
    return run is not None and run.state in well and not run.outdated


def ask(draft: Draft, host: HostRecord, stage: HookStage) -> None:
    """Write down that a hook is to run, unless it is written down already."""
    before = run_of(host, stage)
    if before is not None and (not before.outdated or before.state is HookState.WANTED):
        return
    run = HookRun(stage=stage, number=before.number + 1 if before else 1, wanted_at=draft.now)
    others = (one for one in host.hooks if one is not before)
    draft.put_host(host.name, hooks=(*others, run))


def ask_early(draft: Draft) -> None:
    """Hooks that wait for no step: before anything, and when a host is back."""
    hooks, state = draft.rollout.gates.hooks, draft.rollout.state
    if state not in (RolloutState.RUNNING, RolloutState.REPLANNING):
        return
    runs = state is RolloutState.RUNNING
    for name in draft.book.hosts if hooks.preflight or hooks.after_reboot else ():
        host = draft.host(name)
        if runs and hooks.preflight and host.wave is not None and host.state is HostState.WAITING:
            ask(draft, host, HookStage.PREFLIGHT)
        elif hooks.after_reboot and host.closed and host.state is HostState.FIXED:
            ask(draft, host, HookStage.AFTER_REBOOT)


def held_by_hook(draft: Draft, step: Step) -> bool:
    """Whether a hook has to say something first; asks for it where it was not asked yet."""
    if draft.rollout.gates.hooks.of(HookStage.AFTER_REBOOT) and _not_taken_back(draft, step):
        return True
    host = draft.host(step.host)
    if step.kind not in DRAINS or host.wave != step.wave or host.state is HostState.FIXED:
        return False
    for stage in (HookStage.PREFLIGHT, HookStage.BEFORE_DRAIN):
        if not passed(draft, host, stage):
            ask(draft, host, stage)
            return True
    return False


def asks_first(draft: Draft, step: Step) -> bool:
    """Whether this reboot waits for what the hook after the drain says of the empty host."""
    host = draft.host(step.host)
    if step.kind is not Kind.REBOOT or host.wave != step.wave or host.state is HostState.FIXED:
        return False
    return not passed(draft, host, HookStage.AFTER_DRAIN)


def empty_now(draft: Draft, step: Step) -> None:
    """The host was just seen to be empty: the hook after the drain is asked."""
    ask(draft, draft.host(step.host), HookStage.AFTER_DRAIN)


def leaves_again(draft: Draft, step: Step) -> None:
    """A guest is taken off a host: what the hook after its drain said is said of it no more."""
    host = draft.host(step.host) if step.host in draft.book.hosts else None
    run = run_of(host, HookStage.AFTER_DRAIN) if host else None
    if host is None or run is None or run.outdated or step.kind not in (Kind.MOVE, Kind.STOP):
        return
    old = run.model_copy(update={"outdated": True})
    draft.put_host(host.name, hooks=tuple(old if one is run else one for one in host.hooks))


def _not_taken_back(draft: Draft, step: Step) -> bool:
    """Whether it brings a guest to a host that is back, and was not said to be fit for guests.

    An abort waits for no hook: the guest comes back where it was.
    """
    if draft.rollout.state is RolloutState.ABORTING:
        return False
    name = step.host if step.kind is Kind.START else step.destination
    if name is None or name not in draft.book.hosts:
        return False
    host = draft.host(name)
    return host.state is HostState.FIXED and host.closed


def ended(draft: Draft, event: HookEnded) -> None:
    """Take up the verdict of a hook; one that nobody waits for any more is dropped."""
    host = draft.host(event.host)
    run = run_of(host, event.stage)
    if run is None or run.number != event.number or run.state is not HookState.WANTED:
        return
    after = run.model_copy(
        update={
            "state": _state(event.exit_code),
            "ended_at": event.now,
            "exit_code": event.exit_code,
            "tail": event.tail[-TAIL_CHARS:],
        }
    )
    hooks = tuple(after if one is run else one for one in host.hooks)
    draft.put_host(host.name, hooks=hooks)
    said = f"{host.name}: hook {event.stage}: {after.state}"
    draft.say("hook", f"{said}{_last_line(after)}", host=host.name)
    _follow(draft, host.name, after)


def _state(exit_code: int | None) -> HookState:
    if exit_code == 0:
        return HookState.PASSED
    return HookState.NOTHING if exit_code == EXIT_NOTHING else HookState.FAILED


def _end_of(exit_code: int | None) -> str:
    if exit_code is None:
        return "failed"
    return f"ended with {exit_code}" if exit_code >= 0 else f"was killed by signal {-exit_code}"


def _last_line(run: HookRun) -> str:
    lines = run.tail.strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _follow(draft: Draft, name: str, run: HookRun) -> None:
    by = f"hook {run.stage}"
    if run.state is HookState.FAILED:
        reason = f"hook {run.stage} {_end_of(run.exit_code)}{_last_line(run)}"
        draft.put_host(name, stopped=Hold(reason=reason, since=draft.now, by=by))
        draft.say("held", f"{name}: {reason}: resume the host, or abort it", host=name)
    elif run.stage is HookStage.AFTER_REBOOT:
        draft.put_host(name, closed=False)
        draft.say("opened", f"{name} takes guests again", host=name)
    elif run.state is HookState.NOTHING:
        reason = f"nothing to do on {name}, says hook {run.stage}{_last_line(run)}"
        draft.put_host(name, left_out=Hold(reason=reason, since=draft.now, by=by))
        draft.say("left_out", reason, host=name)


def again(draft: Draft, name: str) -> None:
    """A person resumes a host: the hook that stopped it is run anew, in its time."""
    hooks = tuple(
        _anew(run, draft.now) if run.state is HookState.FAILED else run
        for run in draft.host(name).hooks
    )
    draft.put_host(name, stopped=None, hooks=hooks)


def _anew(run: HookRun, now: datetime) -> HookRun:
    if run.stage is HookStage.AFTER_DRAIN:  # guests may run there again: once it is empty
        return run.model_copy(update={"outdated": True})
    return HookRun(stage=run.stage, number=run.number + 1, wanted_at=now)


def preflights_left(draft: Draft, hosts: tuple[str, ...]) -> int:
    """Hosts whose first hook has not ended, well or not."""
    runs = [run_of(draft.host(name), HookStage.PREFLIGHT) for name in hosts]
    waiting = [draft.host(name).state is HostState.WAITING for name in hosts]
    return sum(
        wait and (run is None or run.state is HookState.WANTED)
        for wait, run in zip(waiting, runs, strict=True)
    )


def waits_for_hooks(draft: Draft) -> bool:
    """Whether a host that is back is not taken back yet; an abort does not wait for that."""
    if draft.rollout.state is RolloutState.ABORTING:
        return False
    if draft.rollout.gates.hooks.after_reboot is None:
        return False
    hosts = (draft.host(name) for name in draft.book.hosts)
    return any(host.closed and host.state is HostState.FIXED for host in hosts)
