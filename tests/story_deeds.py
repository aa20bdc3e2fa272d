"""What happens in a story, done: to hosts and guests, by people, outside the fleet."""

from __future__ import annotations

from collections.abc import Callable

from agents.copies import Condition, condition
from agents.wire import Wanted
from scheduler.rollout import ENDED
from scheduler.watch_store import WatchStore
from scheduler.wishes import Part, WishRefused, approve, say_dead, wish
from tests.redis_fleet import RedisFleet
from tests.sim_world import World
from tests.stories import Deed, How, Story
from tests.story_outside import Around

CODES: dict[How | str, int | None] = {
    "crashed": 3,
    "asked": 1,
    "shut down": 0,
    "unknown": None,
}
CREATED_MIB = 1024


class Hand:
    """Does what a deed says; `odd` is what people were told that the story does not say."""

    def __init__(self, story: Story, played: RedisFleet, around: Around) -> None:
        self.story = story
        self.played = played
        self.around = around
        self.odd: list[str] = []

    @property
    def world(self) -> World:
        """The hosts."""
        assert isinstance(self.played.sim, World)
        return self.played.sim

    def do(self, deed: Deed, it: str | None) -> None:
        """Everything that a deed says; `it`: the guest of the line that set it off."""
        self._people(deed)
        self._hosts(deed)
        self._guests(deed, it or "it")
        self.around.take_hooks(deed.hooks)
        self.around.alerts |= deed.alerts
        if deed.unasked is not None:
            self.around.unasked = deed.unasked
        self.around.show_alerts()

    # People.

    def _people(self, deed: Deed) -> None:
        now, store = self.played.clock.now(), self.played.store
        wishes = {Wanted.PAUSE: deed.pause, Wanted.RUN: deed.resume, Wanted.ABORT: deed.abort}
        for wanted, reason in wishes.items():
            if reason is not None:
                self._told(deed, self.want(deed.of, wanted, reason))
        if deed.approve is not None:
            self._told(deed, self.approve(int(deed.of[5:]), deed.approve))
        if deed.dead is not None:
            self._told(deed, self.say_dead(deed.of[5:], deed.dead))
        if deed.release is not None:
            watched = WatchStore(store.client, "on-call")
            if not watched.release(deed.release, "on-call", "looked at", now):
                self._told(deed, f"class {deed.release} is not quarantined")

    def _told(self, deed: Deed, refusal: str) -> None:
        if bool(refusal) != bool(deed.refused) or deed.refused not in refusal:
            self.odd.append(f"a person was told: {refusal or 'yes'}")

    def want(self, of: str, wanted: Wanted, reason: str) -> str:
        """What the command line does; returns the refusal, if it is one."""
        store, rollout_id, now = self.played.store, self.played.head().id, self.played.clock.now()
        if of == "rollout":
            if self.played.head().state in ENDED:
                return "it has ended"
            said = store.want(rollout_id, wanted, "on-call", reason, now)
            return "" if said else "it is being aborted"
        return _refusal(lambda: wish(store, rollout_id, _part(of), wanted, "on-call", reason, now))

    def approve(self, wave: int, reason: str) -> str:
        """The same for a person's word that a wave may go on."""
        store, rollout_id, now = self.played.store, self.played.head().id, self.played.clock.now()
        return _refusal(lambda: approve(store, rollout_id, wave, "on-call", reason, now))

    def say_dead(self, host: str, reason: str) -> str:
        """The same for a person's word that a host's power is cut."""
        store, rollout_id, now = self.played.store, self.played.head().id, self.played.clock.now()
        return _refusal(lambda: say_dead(store, rollout_id, host, "on-call", reason, now))

    # Hosts.

    def _hosts(self, deed: Deed) -> None:
        self.played.mute |= set(deed.silent)
        self.played.mute -= set(deed.heard)
        for name in deed.dies:
            self.world.lose_power(name)
        for name in deed.returns:
            if name in self.world.dead:
                self.world.power_on(name)
        for name in deed.reboots:
            if self.world.hosts[name].up:
                self.world.reboot_by_itself(name)
        self.played.agents.update(deed.agents)
        self.played.clocks_s |= deed.clocks
        for name, becomes in deed.becomes.items():
            self.world.shows(name, **self.story.shown(name, becomes))

    # Guests.

    def _guests(self, deed: Deed, it: str) -> None:
        def who(name: str) -> str:
            return it if name == "it" else name

        self._elsewhere(deed, who)
        for name in map(who, deed.shut_down):
            self._shut_down(name)
        for name, how in deed.restarts.items():
            if self._lives(who(name)):
                self.world.restart(who(name), CODES[how])
        for name in filter(self._lives, map(who, deed.stays_crashed)):
            self.world.crash_and_stay(name)
        for name in filter(self._lives, map(who, deed.monitor_dies)):
            self.world.kill_monitor(name)
        self.world.faults.update(deed.faults)

    def _elsewhere(self, deed: Deed, who: Callable[[str], str]) -> None:
        """What somebody does who does not know of the rollout."""
        for name, where in deed.create.items():
            self._create(name, where)
        for name, where in deed.carry.items():
            self._carry(who(name), where)
        for name, where in deed.start.items():
            self._start(who(name), where)
        for name, new in deed.rename.items():
            if self._idle(who(name)) and new not in self.world.guests:
                self.world.rename(who(name), new)

    def _shut_down(self, name: str) -> None:
        """xl's log says that it was wanted, where the host lives to write it."""
        if self._lives(name):
            self.world.power_off(name, CODES["shut down"])
        self.world.shut_down_by_owner(name)

    def _create(self, name: str, where: str) -> None:
        if self._takes(where, CREATED_MIB) and name not in self.world.guests:
            self.world.create(name, where)

    def _carry(self, name: str, where: str) -> None:
        if self._idle(name) and self._takes(where, self.world.guests[name].room_mib):
            self.world.carry(name, where)

    def _start(self, name: str, where: str) -> None:
        guest = self.world.guests[name]
        tried = self.world.runs_on(name) or self.world.is_woken(name)
        if not tried and self._takes(where, guest.room_mib):
            self.world.start_by_hand(name, where)

    def _takes(self, where: str, room_mib: int) -> bool:
        """Whether a host that is asked from elsewhere to take a guest could."""
        host = self.world.hosts[where]
        return host.up and self.world.free_mib(host) >= room_mib

    def _lives(self, guest: str) -> bool:
        domains = [d for h in self.world.hosts.values() if (d := h.domains.get(guest))]
        return len(domains) == 1 and condition(domains[0].state) is Condition.RUNS

    def _idle(self, guest: str) -> bool:
        """Whether nobody is at work on it: a second migration of it would be refused."""
        return self._lives(guest) and guest not in self.world.moving


def _part(of: str) -> Part:
    kind, _, name = of.partition(" ")
    return Part(wave=int(name)) if kind == "wave" else Part(host=name)


def _refusal(say: Callable[[], None]) -> str:
    try:
        say()
    except WishRefused as refused:
        return str(refused)
    return ""
