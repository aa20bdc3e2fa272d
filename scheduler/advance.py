"""`advance(book, event, limits) -> Change`: the only place where a rollout's state changes.

Pure: what time it is, what the hosts show and what people want come in as events; what to write
and which orders to give go out as a Change. The caller writes the Change down (`store`), takes it
over (`Book.apply`), and only then sends the orders. A crash between any two of these is harmless:
the same event comes again, and an order has the same id every time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from agents.settle import Verdict
from agents.wire import Attempt, Kind, Wanted
from scheduler import notice
from scheduler.advisory import Advisory
from scheduler.approval import hear
from scheduler.aside import awaited, tend_silent
from scheduler.book import Book
from scheduler.bring_back import bring_back
from scheduler.comeback import recover
from scheduler.crashes import CrashEvent, take, tend_classes
from scheduler.dead import tend_dead
from scheduler.deviation import foreign_arrivals, overdue
from scheduler.draft import Draft
from scheduler.foresee import foresee
from scheduler.gate import Sight
from scheduler.handout import hand_out
from scheduler.hooking import HookEnded, waits_for_hooks
from scheduler.hooking import ended as hook_ended
from scheduler.in_flight import must_end_first
from scheduler.late_news import freed
from scheduler.late_wave import how_it_ended, only_late_left
from scheduler.leaving import leave, open_hosts
from scheduler.limits import Limits
from scheduler.livepatching import still_exposed, too_many_failed, watch
from scheduler.outcomes import seen, settled, stop
from scheduler.part_wants import PartWord, take_up
from scheduler.planned import Planned, take_over
from scheduler.reverted import Withholds, exposed_again, take_up_withheld
from scheduler.rollout import (
    ENDED,
    Change,
    Outlook,
    RolloutState,
    StepState,
)
from scheduler.waiting import OnlySilentLeft, give_way, tend_waiting
from scheduler.wave_gates import tend
from scheduler.wave_holds import Answers


@dataclass(frozen=True)
class Tick:
    """Time has passed; `sight` is what can be seen of the fleet now."""

    now: datetime
    sight: Sight
    answers: Answers = field(default_factory=dict)  # of alert sources


@dataclass(frozen=True)
class AttemptSeen:
    """A host's report shows how far the attempt at a step has come."""

    now: datetime
    step_id: str
    attempt: Attempt


@dataclass(frozen=True)
class Settled:
    """Fresh looks at the hosts concerned told what an attempt came to."""

    now: datetime
    step_id: str
    verdict: Verdict


@dataclass(frozen=True)
class Wants:
    """A person wants the rollout to run, pause or end; hosts obey the control record already."""

    now: datetime
    wanted: Wanted
    epoch: int
    by: str
    reason: str
    keeps: tuple[Advisory, ...] | None = None  # resume: the rollout's, as they are known now


@dataclass(frozen=True)
class Doubted:
    """The controller cannot trust what it works on: nothing new may start."""

    now: datetime
    reason: str


@dataclass(frozen=True)
class Replanned:
    """What is left of the rollout, planned anew from the fleet as it is."""

    now: datetime
    planned: Planned


@dataclass(frozen=True)
class Foreseen:
    """A forecast was made of when the rollout will have ended."""

    now: datetime
    outlook: Outlook


PlanNews = Replanned | OnlySilentLeft | Foreseen
Told = PartWord | HookEnded | Doubted | PlanNews | CrashEvent | Withholds
Event = Tick | AttemptSeen | Settled | Wants | Told


def advance(book: Book, event: Event, limits: Limits) -> Change:
    """What this event changes. Raises NotAllowed only on a defect of this program."""
    draft = Draft(book, event.now)
    if book.rollout.state is RolloutState.AWAITING:
        if isinstance(event, Wants):
            hear(draft, event.wanted, event.epoch, event.by, event.reason)
        return draft.change()
    if isinstance(event, Wants):
        _wants(draft, event)
    elif book.rollout.state in ENDED:
        return Change()
    elif isinstance(event, Tick):
        _tick(draft, event, limits)
    elif isinstance(event, AttemptSeen):
        seen(draft, draft.step(event.step_id), event.attempt, limits)
    elif isinstance(event, Settled):
        settled(draft, draft.step(event.step_id), event.verdict, limits)
    else:
        _told(draft, event, limits)
    notice.lift(draft)
    return draft.change()


def _told(draft: Draft, event: Told, limits: Limits) -> None:
    """What people, planner and forecast say."""
    if isinstance(event, PartWord):
        take_up(draft, event)
    elif isinstance(event, HookEnded):
        hook_ended(draft, event)
    elif isinstance(event, Doubted):
        stop(draft, event.reason)
    elif isinstance(event, Foreseen):
        foresee(draft, event.outlook)
    elif isinstance(event, Replanned):
        take_over(draft, event.planned)
    elif isinstance(event, Withholds):
        take_up_withheld(draft, event)
    elif isinstance(event, OnlySilentLeft):
        give_way(draft)
    else:
        take(draft, event, limits)


def _wants(draft: Draft, event: Wants) -> None:
    """Take up what a person wants; what makes no sense any more is only noted."""
    rollout = draft.rollout
    if event.wanted is rollout.wanted and event.epoch == rollout.epoch:
        return
    draft.put_rollout(wanted=event.wanted, epoch=event.epoch)
    if rollout.state in ENDED or rollout.state is RolloutState.ABORTING:
        return
    hold = draft.held(event.reason, event.by)
    if event.wanted is Wanted.ABORT:
        draft.put_rollout(RolloutState.ABORTING, hold=hold)
    elif event.wanted is Wanted.RUN:
        keeps = rollout.keeps if event.keeps is None else event.keeps
        draft.put_rollout(_resumed(draft), hold=None, keeps=keeps)
        _give_time(draft)
    elif rollout.state is not RolloutState.STOPPED:
        draft.put_rollout(RolloutState.PAUSED, hold=hold)
    words = {Wanted.RUN: "resumed", Wanted.PAUSE: "paused", Wanted.ABORT: "abort"}
    draft.say(words[event.wanted], f"by {event.by}: {event.reason}")


def _resumed(draft: Draft) -> RolloutState:
    if draft.rollout.state is RolloutState.REPLANNING:
        return RolloutState.REPLANNING
    return RolloutState.RUNNING


def _give_time(draft: Draft) -> None:
    """Who resumes after a doubt has looked: what is unclear gets its whole time again."""
    for step in draft.book.running():
        if step.held_since is not None or step.kind is Kind.REBOOT:
            draft.put_step(step, held_since=draft.now)


def _tick(draft: Draft, event: Tick, limits: Limits) -> None:
    _after_mending(draft)
    _listen(draft, event.sight, limits)
    tend_dead(draft, event.sight)
    tend_silent(draft, limits)
    recover(draft, event.sight)
    overdue(draft, event.sight, limits)
    if failing := too_many_failed(draft, limits):
        stop(draft, failing)
    tend_classes(draft)
    _replan_what_failed(draft, limits)
    _plan_rest(draft, foreign_arrivals(draft, event.sight), limits)
    _plan_rest(draft, watch(draft, event.sight) or exposed_again(draft, event.sight), limits)
    _plan_rest(draft, freed(draft, event.sight), limits)
    leave(draft)
    tend(draft, event.answers)
    bring_back(draft, event.sight)
    state = draft.rollout.state
    if state is RolloutState.ABORTING:
        _skip_what_waits(draft)
    if state in (RolloutState.RUNNING, RolloutState.REPLANNING, RolloutState.ABORTING):
        notice.give(draft)
        hand_out(draft, event.sight, limits)
    _finish(draft, event.sight, limits)


def _after_mending(draft: Draft) -> None:
    for step in draft.book.running():
        if step.state is StepState.MENDING and draft.book.children_done(step):
            draft.put_step(step, StepState.SETTLING, held_since=None)


def _listen(draft: Draft, sight: Sight, limits: Limits) -> None:
    """Note which hosts fell silent or came back; too many at once is a doubt about ourselves."""
    silent = {
        name: why
        for name, why in sight.silent().items()
        if name in draft.book.hosts and not draft.book.hosts[name].expected_silent
    }
    for name, host in draft.book.hosts.items():
        why = silent.get(name, "")
        if bool(why) != bool(host.silent):
            draft.put_host(name, silent=why, silent_since=draft.now if why else None)
            draft.say("silent" if why else "back", why or f"{name} reports again", host=name)
    allowed = max(1.0, limits.max_silent_hosts * len(draft.book.hosts))
    if len(silent) > allowed:
        stop(draft, f"{len(silent)} hosts are silent, among them {', '.join(sorted(silent)[:3])}")


def _replan_what_failed(draft: Draft, limits: Limits) -> None:
    if draft.rollout.state is not RolloutState.RUNNING or not draft.book.failed:
        return
    _plan_rest(draft, draft.book.steps[min(draft.book.failed)].reason, limits)


def _plan_rest(draft: Draft, reason: str, limits: Limits) -> None:
    """Plan the rest anew, for this reason if there is one; too often without effect: stop."""
    if not reason or draft.rollout.state is not RolloutState.RUNNING:
        return
    if draft.rollout.replans >= limits.max_replans_in_a_row:
        stop(draft, f"planned anew {draft.rollout.replans} times without effect: {reason}")
        draft.put_rollout(replans=0)
        return
    draft.put_rollout(RolloutState.REPLANNING, hold=draft.held(reason, "xenroll"))


def _skip_what_waits(draft: Draft) -> None:
    for name in sorted(draft.book.unfinished):
        step = draft.step(name)
        brings_back = step.kind in (Kind.MEND, Kind.RETUNE) or (
            step.kind is Kind.START and not step.needs
        )
        if step.state is StepState.WAITING and not brings_back:
            draft.put_step(step, StepState.SKIPPED, reason="aborted", ended_at=draft.now)


def _finish(draft: Draft, sight: Sight, limits: Limits) -> None:
    """End the rollout when nothing is left of it."""
    state = draft.rollout.state
    left = [n for n in draft.book.unfinished if draft.step(n).state is not StepState.SKIPPED]
    added = [s for s in draft.steps if s not in draft.book.steps]
    down = any(guest.down for guest in draft.book.guests.values())
    tend_waiting(draft)
    waits = waits_for_hooks(draft) or (state is RolloutState.RUNNING and awaited(draft))
    if left or added or down or waits:
        return
    if state is RolloutState.ABORTING:
        open_hosts(draft)
        draft.put_rollout(RolloutState.ABORTED, ended_at=draft.now)
        draft.say("aborted", "nothing runs any more; closed hosts are open again")
    elif state is RolloutState.RUNNING and (exposed := still_exposed(draft, sight)):
        _plan_rest(draft, exposed, limits)
    elif state is RolloutState.RUNNING and not only_late_left(draft):
        open_hosts(draft)
        draft.put_rollout(RolloutState.DONE, ended_at=draft.now, hold=None)
        draft.say("done", how_it_ended(draft))


def needs_plan(book: Book) -> bool:
    """Whether the rest waits for a new plan, and one can be made around what is under way."""
    return book.rollout.state is RolloutState.REPLANNING and not must_end_first(book)
