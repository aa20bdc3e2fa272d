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
    return run is not None and run.state in (HookState.PASSED, HookState.NOTHING)


def ask(draft: Draft, host: HostRecord, stage: HookStage) -> None:
    """Write down that a hook is to run, unless it is written down already."""
    if run_of(host, stage) is None:
        run = HookRun(stage=stage, wanted_at=draft.now)
        draft.put_host(host.name, hooks=(*host.hooks, run))


def ask_early(draft: Draft) -> None:
    """Hooks that wait for no step: before anything, and when a host is back."""
    hooks = draft.rollout.gates.hooks
    if draft.rollout.state is not RolloutState.RUNNING:
        return
    for name in draft.book.hosts if hooks.preflight or hooks.after_reboot else ():
        host = draft.host(name)
        if hooks.preflight and host.wave is not None and host.state is HostState.WAITING:
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
    stages = [HookStage.PREFLIGHT, HookStage.BEFORE_DRAIN]
    stages += [HookStage.AFTER_DRAIN] if step.kind is Kind.REBOOT else []
    for stage in stages:
        if not passed(draft, host, stage):
            ask(draft, host, stage)
            return True
    return False


def _not_taken_back(draft: Draft, step: Step) -> bool:
    """Whether it brings a guest to a host that is back, and was not said to be fit for guests."""
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


def _last_line(run: HookRun) -> str:
    lines = run.tail.strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _follow(draft: Draft, name: str, run: HookRun) -> None:
    by = f"hook {run.stage}"
    if run.state is HookState.FAILED:
        code = "failed" if run.exit_code is None else f"ended with {run.exit_code}"
        reason = f"hook {run.stage} {code}{_last_line(run)}"
        draft.put_host(name, stopped=Hold(reason=reason, since=draft.now, by=by))
    elif run.stage is HookStage.AFTER_REBOOT:
        draft.put_host(name, closed=False)
        draft.say("opened", f"{name} takes guests again", host=name)
    elif run.state is HookState.NOTHING:
        reason = f"nothing to do on {name}, says hook {run.stage}{_last_line(run)}"
        draft.put_host(name, left_out=Hold(reason=reason, since=draft.now, by=by))


def again(draft: Draft, name: str) -> None:
    """A person resumes a host: the hook that stopped it is run anew."""
    hooks = tuple(
        HookRun(stage=run.stage, number=run.number + 1, wanted_at=draft.now)
        if run.state is HookState.FAILED
        else run
        for run in draft.host(name).hooks
    )
    draft.put_host(name, stopped=None, hooks=hooks)


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
