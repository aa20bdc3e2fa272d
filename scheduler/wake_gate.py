"""No guest is woken, or started again, while another copy of it is anywhere to be seen. Pure.

A clean-up is decided on looks at both ends, and a start on where its guest was shut down; either
may be ordered much later: after a pause, or when a host is heard again. Meanwhile somebody may have
helped the guest by other means. So the other hosts are asked once more, right before the order.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.copies import Condition, Copy, Role, copies
from agents.wire import Kind, MendAction, Report
from scheduler.draft import Draft
from scheduler.gate import Answer, Gate, Sight, hold
from scheduler.rollout import Step

WAKES = frozenset({MendAction.RESUME_SOURCE, MendAction.UNPAUSE})
BRIEF_S = 120.0
"""For so long such an order may be begun; after that it is given anew, after new looks."""

OVER = frozenset({Condition.CRASHED, Condition.SHUT_DOWN, Condition.DYING})
"""What is left of a guest and will not run again by itself."""


def is_brief(kind: Kind, mend: MendAction | None) -> bool:
    """Whether a step wakes or starts a guest."""
    return kind is Kind.START or (kind is Kind.MEND and mend in WAKES)


def ends(draft: Draft, step: Step) -> tuple[str, ...]:
    """The hosts that have to be looked at right before a step: of a waking, both its move's."""
    if step.kind is Kind.START or step.parent is None or not is_brief(step.kind, step.mend):
        return step.hosts
    both = draft.step(step.parent).hosts
    return tuple(name for name in both if not _cut_off(draft, name))


def _cut_off(draft: Draft, name: str) -> bool:
    return name in draft.book.hosts and draft.host(name).is_dead


def another_copy(draft: Draft, step: Step, sight: Sight) -> Gate | None:
    """Why this guest must not be woken or started now; None: no other copy is to be seen."""
    if not is_brief(step.kind, step.mend):
        return None
    if step.kind is Kind.START:
        return _before_start(draft, step, sight)
    return _before_waking(draft, step, sight)


def _before_start(draft: Draft, step: Step, sight: Sight) -> Gate | None:
    for host, copy in _seen(draft, step, sight):
        if isinstance(copy, str):
            return hold(f"{step.guest} was seen on {host} last: {copy}")
        if not _is_rest(copy):
            return hold(f"{step.guest} is on {host} already: {copy}")
    return None


def _before_waking(draft: Draft, step: Step, sight: Sight) -> Gate | None:
    for name in ends(draft, step):
        report = sight.report(name)
        if isinstance(report, str):
            return hold(report)
    for host, copy in _seen(draft, step, sight):
        if isinstance(copy, str):
            return hold(f"{step.guest} was seen on {host} last: {copy}")
        if step.mend is not MendAction.UNPAUSE or not _is_rest(copy):
            return Gate(Answer.DIFFERS, f"{step.guest} is on {host} now: {copy}")
    return None


def _is_rest(copy: Copy) -> bool:
    """What a move has left at its source; nothing but a person would wake it."""
    return copy.role is Role.AWAY and copy.condition is Condition.SUSPENDED


def _seen(draft: Draft, step: Step, sight: Sight) -> Iterator[tuple[str, Copy | str]]:
    """Copies on other hosts by the guest's UUID, or why what was seen there is no ground now."""
    guest = draft.guest(step.guest or "", step.host)
    for host in sight.where(guest.uuid) if guest.uuid else ():
        if host == step.host or _cut_off(draft, host):
            continue
        report = sight.report(host)
        found = (
            [report] if isinstance(report, str) else _alive(report, guest.name, guest.uuid or "")
        )
        yield from ((host, one) for one in found)


def _alive(report: Report, guest: str, uuid: str) -> list[Copy]:
    return [one for one in copies(report.domains, guest, uuid) if one.condition not in OVER]
