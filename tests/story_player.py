"""Plays a story: the real controller, a real server, hosts in virtual time."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import redis

from agents.wire import Wanted
from scheduler.book import Book
from scheduler.control import Controller, Parts
from scheduler.embedded import EmbeddedServer
from scheduler.planning import plan_fleet
from scheduler.rollout import ENDED, Change, Happening, HostState, Rollout, RolloutState
from scheduler.store import Store
from scheduler.watch_store import WatchStore
from tests.redis_fleet import RedisFleet
from tests.sim import START
from tests.stories import Deed, Story, fits, missing_line

QUIET_S = 20.0
"""The longest step of the clock; agents report at least as often."""

STANDSTILL_S = 900.0
"""A stopped rollout where nothing has happened for so long is over for the story."""


class Died(Exception):
    """The controller was killed right after it wrote something."""


class MortalStore(Store):
    """Writes, and dies before anybody hears of it."""

    def save(self, before: Rollout, change: Change, wanted: Wanted | None = None) -> Rollout:
        super().save(before, change, wanted)
        raise Died


class Player:
    """One story on its way."""

    def __init__(self, client: redis.Redis, story: Story, *, mortal: bool) -> None:
        self.story = story
        self.mortal = mortal
        self.lives = 0
        self.played = RedisFleet(
            client,
            story.fleet(),
            faults={n: list(f) if isinstance(f, list) else f for n, f in story.faults.items()},
            consents=story.consents,
            limits=story.checked_limits(),
            wrong_builds=story.wrong_builds,
            lost_hosts=story.lost_hosts,
        )
        self.played.begin()
        self.controller: Controller | None = self._born()
        self.absent_until = START
        self.todo = list(story.timeline)
        self.due: list[tuple[float, Deed]] = []
        self.log: list[str] = []
        self.version = 0
        self.busy_until = START
        self.changed_at = START

    def _born(self) -> Controller:
        kind = MortalStore if self.mortal else Store
        self.lives += 1
        parts = Parts(
            client=self.played.client,
            store=kind(self.played.client, f"controller-{self.lives}"),
            clock=self.played.clock,
            plan=plan_fleet,
            limits=self.story.checked_limits(),
            log=self.played.log.append,
        )
        return Controller(parts, self.played.sim.inventory)

    @property
    def now_s(self) -> float:
        """Seconds since the story began."""
        return (self.played.clock.now() - START).total_seconds()

    @property
    def head(self) -> Rollout:
        """The rollout as it stands."""
        return self.played.head()

    def run(self) -> None:
        """To the end of the rollout, of what can happen, or of the story's time."""
        while self.now_s < self.story.until_s and not self._over():
            self._deeds()
            self._lead()
            self.played.take_orders()
            self._listen()
            self.played.pass_time(self._step_s())
            self.played.publish()
        self._lead()  # one that died with the last word still has to give the hosts free

    def _over(self) -> bool:
        head = self.head
        if head.state in ENDED:
            return True
        quiet_s = (self.played.clock.now() - self.changed_at).total_seconds()
        held = head.state in (RolloutState.STOPPED, RolloutState.PAUSED)
        return held and not self.due and not self.todo and quiet_s > STANDSTILL_S

    def _lead(self) -> None:
        if self.played.clock.now() < self.absent_until:
            return
        self.controller = self.controller or self._born()
        try:
            self.controller.tick()
        except Died:
            self.controller = None

    def _listen(self) -> None:
        """Take up new lines of the log, and what they set off."""
        head = self.head
        if head.version == self.version:
            return
        self.version, self.changed_at = head.version, self.played.clock.now()
        self.busy_until = self.changed_at + timedelta(seconds=5)
        lines = [line_of(h) for h in self.played.store.happenings(head.id, 100_000)]
        for line in lines[len(self.log) :]:
            for deed in [d for d in self.todo if d.after and fits(line, d.after)]:
                self.todo.remove(deed)
                self.due.append((self.now_s + deed.wait_s, deed))
        self.log = lines

    def _step_s(self) -> float:
        """Small steps while things happen, then on to what comes next."""
        if self.played.clock.now() < self.busy_until:
            return 1.0
        times = [self.now_s + QUIET_S, *(at_s for at_s, _ in self.due)]
        times += [deed.at_s for deed in self.todo if deed.at_s is not None]
        coming = self.played.sim.next_at()
        if coming is not None:
            times.append((coming - START).total_seconds())
        step_s = max(1.0, min(times) - self.now_s)
        if coming is not None and (coming - START).total_seconds() <= self.now_s + step_s:
            self.busy_until = coming + timedelta(seconds=3)
        return step_s

    def _deeds(self) -> None:
        for deed in [d for d in self.todo if d.at_s is not None and d.at_s <= self.now_s]:
            self.todo.remove(deed)
            self.due.append((deed.at_s or 0.0, deed))
        for entry in [e for e in self.due if e[0] <= self.now_s]:
            self.due.remove(entry)
            self._do(entry[1])

    def _do(self, deed: Deed) -> None:
        sim, now = self.played.sim, self.played.clock.now()
        self.busy_until = self.changed_at = now + timedelta(seconds=5)
        self._people(deed)
        self.played.mute |= set(deed.silent)
        self.played.mute -= set(deed.heard)
        for name in deed.dies:
            sim.lose_power(name)
        for name in deed.returns:
            sim.power_on(name)
        for name in deed.shut_down:
            sim.shut_down_by_owner(name)
        for name, where in deed.create.items():
            sim.create(name, where)
        for name, where in deed.carry.items():
            sim.carry(name, where)
        sim.faults.update(deed.faults)
        if deed.release is not None:
            watched = WatchStore(self.played.client, "people")
            watched.release(deed.release, "on-call", "a fixed kernel", now)
        if deed.no_controller_s:
            self.absent_until = now + timedelta(seconds=deed.no_controller_s)
            self.controller = None

    def _people(self, deed: Deed) -> None:
        wishes = {Wanted.PAUSE: deed.pause, Wanted.RUN: deed.resume, Wanted.ABORT: deed.abort}
        for wanted, reason in wishes.items():
            if reason is not None:
                now = self.played.clock.now()
                self.played.store.want(self.head.id, wanted, "on-call", reason, now)

    def book(self) -> Book:
        """The records as they stand."""
        return self.played.store.book(self.head.id)


def line_of(happening: Happening) -> str:
    """A line of the log as stories write it."""
    return f"{happening.kind}: {happening.text}"


def complaints(player: Player) -> list[str]:
    """In what the end differs from what the story expects, and from what must always hold."""
    story, book = player.story, player.book()
    expected, rollout = story.expected, book.rollout
    found = [] if rollout.state == expected.state else [f"it ended {rollout.state}: {rollout.hold}"]
    if expected.hold and expected.hold not in (rollout.hold.reason if rollout.hold else ""):
        found.append(f"held by {rollout.hold}")
    missing = missing_line(player.log, expected.log)
    found += [f"no line in its place: {missing}"] if missing else []
    found += [f"line: {x}" for x in player.log if any(fits(x, never) for never in expected.never)]
    return found + _hosts(player, book) + _guests(player) + _always(player, book)


def _hosts(player: Player, book: Book) -> list[str]:
    expected = player.story.expected
    fixed = {name for name, record in book.hosts.items() if record.state is HostState.FIXED}
    waiting = {name for name, record in book.hosts.items() if record.state is HostState.WAITING}
    blocked = {n: r.reason for n, r in book.hosts.items() if r.state is HostState.BLOCKED}
    everybody = set(book.hosts) - set(expected.blocked)
    wanted = everybody if expected.fixed == "all" else set(expected.fixed)
    rebooted = Counter({h.name: h.boot - 1 for h in player.played.sim.hosts.values() if h.boot > 1})
    wanted_boots = wanted if expected.rebooted == "fixed" else expected.rebooted
    found = [] if fixed == wanted else [f"fixed: {sorted(fixed)}"]
    found += [] if rebooted == Counter(wanted_boots) else [f"rebooted: {dict(rebooted)}"]
    found += [] if set(expected.waiting) <= waiting else [f"waiting: {sorted(waiting)}"]
    if set(blocked) != set(expected.blocked):
        found.append(f"blocked: {blocked}")
    return found + [
        f"{name} is blocked: {blocked[name]}"
        for name, part in expected.blocked.items()
        if name in blocked and part not in blocked[name]
    ]


def _guests(player: Player) -> list[str]:
    sim, expected = player.played.sim, player.story.expected
    runs = Counter(
        name
        for host in sim.hosts.values()
        for name, domain in host.domains.items()
        if name in sim.guests and domain.state[3:5] not in ("sc", "ss")
    )
    wanted = Counter(set(sim.guests) - set(expected.gone)) + Counter(expected.twice)
    found = [] if runs == wanted else [f"guests: {dict((wanted - runs) or (runs - wanted))} differ"]
    restarted = {g.name for g in player.book().guests.values() if g.restarts}
    if restarted != set(expected.restarted):
        found.append(f"restarted: {sorted(restarted)}")
    return found


def _always(player: Player, book: Book) -> list[str]:
    """What no story may end with."""
    found = []
    if book.rollout.state in ENDED:
        found += [f"{h.name} is still closed" for h in book.hosts.values() if h.closed]
        found += [f"{host} is still owned" for host in player.played.store.owners()]
    down = [g.name for g in book.guests.values() if g.down]
    if down and book.rollout.state in ENDED:
        found.append(f"shut down and not started again: {down}")
    return found


def watch(story: Story) -> None:
    """Play a story and print its log."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                player = Player(client, story, mortal=False)
                player.run()
                _print(player)
        finally:
            server.stop()


def _print(player: Player) -> None:
    print(player.story.title)
    for happening in player.played.store.happenings(player.head.id, 100_000):
        at_s = (happening.at - START).total_seconds()
        print(f"{at_s:8.0f} s  {line_of(happening)}")
    for line in complaints(player) or ["as expected"]:
        print(f"  -> {line}")
