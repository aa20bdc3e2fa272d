"""Guests that this rollout shut down, and that the server does not know of any more. Pure.

A server that falls back to what it held some seconds ago forgets an order that a host has carried
out. The host's journal has not: its agent tells of each guest that it has shut down lately
(`agents.stops`). Without that the guest would be taken for one that its owner has shut down.
"""

from __future__ import annotations

import re

from agents.wire import Attempt, AttemptState, Kind, Report
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.planned import BORN_DIGITS
from scheduler.rollout import Step, StepState, attempt_id

OF_A_PLAN = re.compile(rf"g\d+-[0-9a-z]{{{BORN_DIGITS}}}-\d+-a\d+")
"""What follows the rollout in an attempt's id, as `planned.all_steps` and `attempt_id` make it."""


def recall(draft: Draft, sight: Sight) -> None:
    """Know again of the guests that hosts have shut down for this rollout, and start them."""
    for name in draft.book.hosts:
        report = sight.report(name)
        if isinstance(report, Report) and report.attempts:
            for told in report.attempts:
                if _is_forgotten(draft, sight, report, told):
                    _take_up(draft, name, told)


def _is_forgotten(draft: Draft, sight: Sight, report: Report, told: Attempt) -> bool:
    done = told.state is AttemptState.ENDED and told.exit_code == 0
    if told.kind is not Kind.STOP or not done or not told.guest:
        return False
    ours = _is_ours(draft.rollout.id, told.attempt_id)
    if not ours or told.ended_at is None or _is_known(draft, told):
        return False
    there = any(one.uuid == told.guest_uuid for one in report.domains)
    elsewhere = sight.where(told.guest) or sight.where(told.guest_uuid or told.guest)
    return not there and not elsewhere and not draft.guest(told.guest, report.host).down


def _is_ours(rollout_id: str, attempt: str) -> bool:
    """Whether it is of a plan's step of this rollout, and of none whose name begins like it."""
    prefix = f"{rollout_id}-"
    return attempt.startswith(prefix) and bool(OF_A_PLAN.fullmatch(attempt.removeprefix(prefix)))


def _is_known(draft: Draft, told: Attempt) -> bool:
    """Whether the step is there, and had come at least as far as to this attempt."""
    for step in draft.book.steps.values():
        if step.guest == told.guest and step.kind is Kind.STOP:
            names = (attempt_id(draft.rollout.id, step.id, n) for n in range(1, step.attempt + 1))
            if told.attempt_id in names:
                return True
    return False


def _take_up(draft: Draft, host: str, told: Attempt) -> None:
    guest = told.guest or ""
    draft.put_guest(
        guest, host, host=host, uuid=told.guest_uuid, down=True, down_since=told.ended_at
    )
    text = f"{guest} was shut down on {host} for this rollout, which the server had forgotten"
    draft.say("recalled", text, host=host, guest=guest)
    _start_again(draft, host, guest)


def _start_again(draft: Draft, host: str, guest: str) -> None:
    """By the plan's own step; by one of its own, after the host's reboot, where it has none."""
    open_steps = [draft.step(name) for name in sorted(draft.book.unfinished)]
    if any(s.kind is Kind.START and s.guest == guest for s in open_steps):
        return
    reboots = (s for s in open_steps if s.kind is Kind.REBOOT and s.host == host)
    generation = draft.rollout.generation
    draft.add_step(
        Step(
            id=f"recall-{generation}-{len(draft.book.steps) + len(draft.guests)}",
            generation=generation,
            kind=Kind.START,
            wave=draft.host(host).wave or 1,
            needs=tuple(s.id for s in reboots if s.state is not StepState.SKIPPED),
            host=host,
            guest=guest,
        )
    )
