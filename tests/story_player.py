"""Plays a story: the real controller, a real server, hosts in virtual time."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import redis

from scheduler.book import Book
from scheduler.control import Controller, Parts
from scheduler.embedded import EmbeddedServer
from scheduler.planning import plan_fleet
from scheduler.rollout import ENDED, RolloutState
from tests.redis_fleet import RedisFleet
from tests.sim import START
from tests.sim_world import World
from tests.stories import Deed, Story
from tests.story_deaths import Died, Fate, MortalStore, MortalWatch, immortal
from tests.story_deeds import Hand
from tests.story_duty import Duty
from tests.story_log import Told, fits, told
from tests.story_outside import Around, ToldAlerts, ToldHooks

QUIET_S = 20.0
"""The longest step of the clock; agents report at least as often."""

CALM_S = 3600.0
"""The same before and after the rollout."""

STANDSTILL_S = 900.0
"""A held rollout where nothing has happened for so long is over for the story."""

DAY_S = 86_400.0

LAST_LIVES = 100
"""One controller of so many lives for one whole round after the end."""


class WorldFleet(RedisFleet):
    """Hosts to which things happen."""

    kind = World


class Player:
    """One story on its way."""

    def __init__(self, client: redis.Redis, story: Story, *, fate: Fate = immortal) -> None:
        self.story = story
        self.fate = fate
        self.lives = 0
        self.played = WorldFleet(client, story.fleet(), **story.world())
        self.around = Around(story)
        self.hand = Hand(story, self.played, self.around)
        self.duty = Duty(story, self.hand)
        self.alerts = ToldAlerts(self.around)
        self.controller: Controller | None = None
        self._live(story.days_before)
        self.head = self.played.begin()  # as it stood when it was last read
        self.controller = self._born()
        self.absent_until = START
        self.todo = list(story.timeline)
        self.due: list[tuple[float, Deed, str | None]] = []
        self.log: list[Told] = []
        self.busy_until = self.changed_at = START
        self.kept: list[tuple[datetime, dict[bytes, bytes]]] = []  # what the server held, by time
        self.forgets = any(deed.loses_s for deed in story.timeline)

    def _born(self) -> Controller:
        client = self.played.client
        self.lives += 1
        store = MortalStore(client, f"controller-{self.lives}")
        store.fate = self.fate
        limits, log = self.story.checked_limits(), self.played.log.append
        parts = Parts(client, store, self.played.clock, plan_fleet, limits, log)
        controller = Controller(parts, self.world.inventory)
        watched = MortalWatch(client, store.writer)
        watched.fate = self.fate
        controller.watcher.store = watched
        controller.outside._runner = ToldHooks(client, self.around)
        controller.outside._watch = self.alerts  # type: ignore[assignment]
        return controller

    def _live(self, days: float) -> None:
        """The fleet before the rollout: its guests are watched."""
        end = self.played.clock.now() + timedelta(days=days)
        while self.played.clock.now() < end:
            self.controller = self.controller or self._born()
            self.played.publish()
            self.controller.tick()
            self.played.pass_time(CALM_S)

    @property
    def world(self) -> World:
        """The hosts."""
        return self.hand.world

    @property
    def now_s(self) -> float:
        """Seconds since the story began."""
        return (self.played.clock.now() - START).total_seconds()

    def book(self) -> Book:
        """The records as they stand."""
        return self.played.store.book(self.head.id)

    def run(self) -> None:
        """To the end of the rollout, of what can happen, or of the story's time."""
        try:
            while self.now_s < self._until_s() and not self._over():
                self._round()
            for _ in range(LAST_LIVES):
                self._lead()  # one that died with the last word still has to give the hosts free
                if self.controller is not None:
                    break
            self._listen()
        finally:
            self.around.end()

    def _round(self) -> None:
        self._keep()
        self._deeds()
        self._lead()
        self.played.take_orders()
        self._listen()
        if self.duty.look(self.head, self.played.clock.now(), self.changed_at):
            self._busy(5)
        self.played.pass_time(self._step_s())
        self.world.look_around()
        self.played.publish()

    def _keep(self) -> None:
        """Keep what the server holds, where it will forget something."""
        if not self.forgets:
            return
        client = self.played.client
        names = sorted(cast("list[bytes]", client.keys()))
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.dump(name)
            held = dict(zip(names, pipe.execute(), strict=True))
        self.kept = [*self.kept[-60:], (self.played.clock.now(), held)]

    def _fall_back(self, seconds: float) -> None:
        """The server has lost its newest writes; hosts have not forgotten what they began."""
        then = self.played.clock.now() - timedelta(seconds=seconds)
        held = next((h for at, h in reversed(self.kept) if at <= then), self.kept[0][1])
        self.played.client.flushall()
        with self.played.client.pipeline(transaction=False) as pipe:
            for name, value in held.items():
                pipe.restore(name, 0, value)
            pipe.execute()

    def _busy(self, seconds: float) -> None:
        """Something happened: small steps of the clock for so long."""
        self.changed_at = self.played.clock.now()
        self.busy_until = self.changed_at + timedelta(seconds=seconds)

    def _until_s(self) -> float:
        return self.story.until_s + DAY_S * (self.story.days_before + self.story.days_after)

    def _over(self) -> bool:
        head = self.head
        if head.state in ENDED:
            ended_s = (self.played.clock.now() - (head.ended_at or START)).total_seconds()
            return ended_s >= self.story.days_after * DAY_S
        quiet_s = (self.played.clock.now() - self.changed_at).total_seconds()
        held = head.state in (RolloutState.STOPPED, RolloutState.PAUSED)
        left = self.due or any(deed.at_s is not None for deed in self.todo) or self.duty.left
        return held and not left and quiet_s > STANDSTILL_S

    def _lead(self) -> None:
        self.alerts.now = self.played.clock.now()
        if self.played.clock.now() < self.absent_until:
            return
        try:
            self.controller = self.controller or self._born()
            self.controller.tick()
        except Died:
            self.controller = None

    def _listen(self) -> None:
        """Take up new lines of the log, and what they set off."""
        before = self.head
        self.head = self.played.store.head(before.id)
        if self.head.version == before.version:
            return
        lines = [told(h) for h in self.played.store.happenings(before.id, 100_000)]
        new = lines[len(self.log) :]
        if new or self.head.outlook == before.outlook:  # a forecast alone sets nothing off
            self.busy_until = self.played.clock.now() + timedelta(seconds=5)
        if new:
            self._busy(5)
        for line in new:
            for deed in list(self.todo):
                if fits(line.text, deed.after or deed.every or "\0"):
                    self.due.append((self.now_s + deed.wait_s, deed, line.guest))
                    self.todo.remove(deed) if deed.after else None
        self.log = lines

    def _step_s(self) -> float:
        """Small steps while things happen, then on to what comes next."""
        if self.played.clock.now() < self.busy_until:
            return 1.0
        calm_s = CALM_S if self.head.state in ENDED else QUIET_S
        times = [self.now_s + calm_s, *(at_s for at_s, _, _ in self.due)]
        times += [deed.at_s for deed in self.todo if deed.at_s is not None]
        coming = self.world.next_at()
        if coming is not None:
            times.append((coming - START).total_seconds())
        step_s = max(1.0, min(times) - self.now_s)
        if coming is not None and (coming - START).total_seconds() <= self.now_s + step_s:
            self.busy_until = coming + timedelta(seconds=3)
        return step_s

    def _deeds(self) -> None:
        for deed in [d for d in self.todo if d.at_s is not None and d.at_s <= self.now_s]:
            self.todo.remove(deed)
            self.due.append((deed.at_s or 0.0, deed, None))
        for entry in [e for e in self.due if e[0] <= self.now_s]:
            self.due.remove(entry)
            self._do(entry[1], entry[2])

    def _do(self, deed: Deed, it: str | None) -> None:
        self._busy(5)
        self.hand.do(deed, it)
        if deed.loses_s:
            self._fall_back(deed.loses_s)
        if deed.no_controller_s:
            now = self.played.clock.now()
            self.absent_until = now + timedelta(seconds=deed.no_controller_s)
            self.controller = None


def watch(story: Story) -> None:
    """Play a story and print its log."""
    from tests.story_judge import complaints

    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                player = Player(client, story)
                player.run()
                print(story.title)
                for line in player.log:
                    print(f"{line.at_s:8.0f} s  {line.text}")
                for complaint in complaints(player) or ["as expected"]:
                    print(f"  -> {complaint}")
        finally:
            server.stop()
