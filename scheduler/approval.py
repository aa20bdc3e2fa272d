"""A rollout that is written down and waits for a person's word before its first step. Pure.

Nothing of it starts meanwhile: no order is made, no host is closed, and its control record says
`pause`, so that no host would start one either.
"""

from __future__ import annotations

import unicodedata

from agents.wire import Wanted
from scheduler.draft import Draft
from scheduler.rollout import Hold, Rollout
from scheduler.states import RolloutState


def waiting(rollout: Rollout, second_person: bool) -> Rollout:
    """The head of a new rollout that waits; `second_person`: for somebody else than its maker."""
    whom = "a second person's approval" if second_person else "the word to start"
    hold = Hold(reason=f"waits for {whom}", since=rollout.created_at, by="xenroll")
    return rollout.model_copy(
        update={
            "state": RolloutState.AWAITING,
            "wanted": Wanted.PAUSE,
            "second_person": second_person,
            "hold": hold,
        }
    )


def same_person(name: str, rollout: Rollout) -> bool:
    """Whether somebody of this name made it; names that differ in how they are spelt are one."""
    return _spelt(name) == _spelt(rollout.created_by)


def _spelt(name: str) -> str:
    """A name as people compare it: without capitals, other forms of its letters, and space."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def hear(draft: Draft, wanted: Wanted, epoch: int, by: str, reason: str) -> None:
    """Take up what a person wants of a rollout that waits; all else is left as it is.

    Whoever made it cannot let it begin where a second person has to, whatever wrote the wish.
    """
    rollout = draft.rollout
    if wanted is Wanted.ABORT:
        draft.put_rollout(
            RolloutState.ABORTING, hold=draft.held(reason, by), wanted=wanted, epoch=epoch
        )
        draft.say("abort", f"by {by}: {reason}")
    elif wanted is Wanted.RUN and not (rollout.second_person and same_person(by, rollout)):
        draft.put_rollout(
            RolloutState.RUNNING, hold=None, wanted=wanted, epoch=epoch, approved_by=by
        )
        draft.say("approved", f"by {by}: {reason}")
