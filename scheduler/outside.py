"""What a controller hears from outside the fleet: verdicts of hooks, answers of alert sources.

Nothing here makes the controller's loop wait: hooks and questions run in threads of their own,
which begin when the first rollout needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import redis

from scheduler.alert_watch import AlertWatch
from scheduler.book import Book
from scheduler.gates import Answer, HookRun, HookStage, HookState
from scheduler.hook_runner import HookKey, HookRunner
from scheduler.hooking import HookEnded
from scheduler.rollout import ENDED, HostRecord, Rollout


class Outside:
    """The hooks and alerts of every rollout that one controller leads."""

    def __init__(self, client: redis.Redis, now: Callable[[], datetime]) -> None:
        self._now = now
        self._runner = HookRunner(client)
        self._watch = AlertWatch(now)

    def listen(self, books: Iterable[Book]) -> None:
        """Ask the alert sources of these rollouts, as far as they have not ended."""
        live = [book.rollout for book in books if book.rollout.state not in ENDED]
        self._watch.want([rollout.gates.alerts for rollout in live])

    def answers(self, rollout: Rollout) -> Mapping[str, Answer]:
        """The newest answers of a rollout's alert sources."""
        return self._watch.answers(rollout.gates.alerts)

    def hear(self, book: Book, feed: Callable[[Book, HookEnded], None]) -> None:
        """Feed what hooks came to, then forget it outside of the records. Raises redis errors."""
        ended = self.hooks_ended(book)
        for event in ended:
            feed(book, event)
        self.taken_up(book, ended)

    def hooks_ended(self, book: Book) -> list[HookEnded]:
        """Start the hooks that are wanted; returns those that have ended. Raises redis errors."""
        wanted = {}
        for host in book.hosts.values():
            for run in host.hooks:
                if run.state is HookState.WANTED:
                    key = HookKey(book.rollout.id, host.name, run.stage, run.number)
                    wanted[key.field] = (key, host, run)
        if not wanted:
            return []
        verdicts = self._runner.verdicts(book.rollout.id)
        for field, (key, host, run) in wanted.items():
            hook = book.rollout.gates.hooks.of(run.stage)
            if field not in verdicts and hook is not None:
                self._runner.give(key, hook, document(book.rollout, host, run, self._now()))
        found = [(wanted[field][0], said) for field, said in verdicts.items() if field in wanted]
        return [
            HookEnded(self._now(), key.host, key.stage, key.number, said.exit_code, said.tail)
            for key, said in found
        ]

    def taken_up(self, book: Book, events: Iterable[HookEnded]) -> None:
        """These are in the records now: their verdicts need not be kept any longer."""
        fields = [HookKey(book.rollout.id, e.host, e.stage, e.number).field for e in events]
        if fields:
            self._runner.taken(book.rollout.id, fields)

    def close(self) -> None:
        """Stop asking, and end the hooks that run."""
        self._watch.close()
        self._runner.close()


def document(rollout: Rollout, host: HostRecord, run: HookRun, now: datetime) -> dict[str, object]:
    """What a hook gets on its standard input; under embargo an advisory has its codename only."""
    public = ", ".join(one.shown(now, knows=False) for one in rollout.advisories)
    return {
        "format": "xenroll.hook/1",
        "stage": HookStage(run.stage).value,
        "run": run.number,
        "rollout": rollout.id,
        "advisory": public or rollout.advisory,
        "host": host.name,
        "pool": host.pool,
        "group": host.group,
        "wave": host.wave,
        "state": host.state.value,
    }
