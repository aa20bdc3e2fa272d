"""Hosts of a late wave that need not wait any more, by what is seen of them. Pure."""

from __future__ import annotations

from agents.copies import base_name
from agents.wire import Report
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.late_wave import is_late, resting
from scheduler.livepatching import choice_now
from scheduler.rollout import RolloutState


def freed(draft: Draft, sight: Sight) -> str:
    """Why the rest is to be planned anew: a host lost its last guest at rest, or is safe; or ""."""
    if draft.rollout.state is not RolloutState.RUNNING:
        return ""
    for name in sorted(draft.book.hosts):
        if not is_late(draft, name):
            continue
        report = sight.report(name)
        if isinstance(report, Report) and (why := _freed(draft, name, report)):
            draft.say("freed", why, host=name)
            return why
    return ""


def _freed(draft: Draft, name: str, report: Report) -> str:
    rollout = draft.rollout
    told = bool(rollout.advisories or rollout.fixed_builds)
    if told and not choice_now(rollout, draft.host(name), report).in_scope:
        return f"{name} is safe: somebody else saw to it"
    # Whatever is left of a guest (a half of a migration, a zombie) still is that guest.
    there = {base_name(domain.name) for domain in report.domains}
    if there.intersection(guest.name for guest in resting(draft, [name])):
        return ""
    return f"{name} carries no guest of a quarantined class any more"
