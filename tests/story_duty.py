"""The person on duty of a story: resumes and approves what has been held for a while."""

from __future__ import annotations

from datetime import datetime

from agents.wire import Wanted
from scheduler.rollout import Rollout, RolloutState
from scheduler.waves import WaveState
from tests.stories import Story
from tests.story_deeds import Hand

PATIENCE_S = 900.0
"""After so long without anything new somebody looks."""


class Duty:
    """`left`: how often this person still comes."""

    def __init__(self, story: Story, hand: Hand) -> None:
        self.left = story.resumes
        self._hand = hand

    def look(self, head: Rollout, now: datetime, changed_at: datetime) -> bool:
        """Come if nothing has changed for a while; whether anything was said."""
        if not self.left or (now - changed_at).total_seconds() < PATIENCE_S:
            return False
        said = [self._hand.want(of, Wanted.RUN, "goes on") for of in self._held(head)]
        book = self._hand.played.store.book(head.id)
        waiting = [n for n, w in book.waves.items() if w.state is WaveState.WAITING]
        if head.gates.approval:
            said += [self._hand.approve(number, "goes on") for number in waiting]
        self.left -= bool(said)
        return bool(said)

    def _held(self, head: Rollout) -> list[str]:
        """What a person can resume: the rollout, waves, hosts."""
        book = self._hand.played.store.book(head.id)
        live = (WaveState.WAITING, WaveState.OPEN)
        held = [f"wave {n}" for n, w in book.waves.items() if w.paused and w.state in live]
        held += [f"host {n}" for n, h in book.hosts.items() if h.paused or h.stopped]
        stands = head.state in (RolloutState.STOPPED, RolloutState.PAUSED)
        return (["rollout"] if stands else []) + held
