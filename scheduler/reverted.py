"""What a rollout makes of live patches that a person had reverted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.choice import Withheld
from scheduler.draft import Draft
from scheduler.gate import Sight
from scheduler.livepatching import choice_now
from scheduler.rollout import HostState, RolloutState


@dataclass(frozen=True)
class Withholds:
    """What is not to be loaded on a host, by the word of a person; all of it, each time."""

    now: datetime
    host: str
    withheld: tuple[Withheld, ...]


def take_up_withheld(draft: Draft, event: Withholds) -> None:
    """Note what may not be loaded on a host of this rollout."""
    if event.host not in draft.book.hosts:
        return
    before = draft.host(event.host).withheld
    draft.put_host(event.host, withheld=event.withheld)
    for one in set(event.withheld).difference(before):
        text = f"{one.why}; it is not loaded on {event.host} until somebody allows it"
        draft.say("withheld", text, host=event.host)
    for one in set(before).difference(event.withheld):
        text = f"live patch {one.payload} may be loaded on {event.host} again"
        draft.say("allowed", text, host=event.host)


def exposed_again(draft: Draft, sight: Sight) -> str:
    """Why to plan anew, where a host that was safe lost its live patch by a revert; else empty."""
    if draft.rollout.state is not RolloutState.RUNNING:
        return ""
    for name, host in draft.book.hosts.items():
        safe = host.state in (HostState.FIXED, HostState.UNAFFECTED) and not host.aside
        report = sight.report(name) if host.withheld and safe else ""
        if isinstance(report, str) or report.boot_id != host.boot_id:
            continue  # after a boot of its own it is looked after by `livepatching.watch`
        choice = choice_now(draft.rollout, host, report)
        if choice.in_scope:
            text = f"{name} is exposed again: {choice.reason}"
            draft.say("exposed", text, host=name)
            return text
    return ""
