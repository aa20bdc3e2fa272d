"""Stories by chance: random fleets, policies, faults and wishes, played like those in files.

Nothing is expected of their log; what must hold is looked at from outside (`tests.sim_world`,
`tests.story_judge.always`) and here: every rollout comes to an end that somebody can understand.
The same seed gives the same story and the same deaths of its controllers:

    python -m tests.story_chance 17        its story as a file, its log, what is wrong with it
    python -m tests.story_chance 0-499     only the seeds at which something is wrong
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import redis
import yaml

from scheduler.book import Book
from scheduler.embedded import EmbeddedServer
from scheduler.holds import holds
from scheduler.outcomes import describe
from scheduler.rollout import ENDED, RolloutState, Step
from scheduler.wave_holds import BEFORE
from tests.sim_endings import ENDINGS
from tests.stories import Story
from tests.story_judge import complaints
from tests.story_player import Fate, Player

STAGES = ("preflight", "before_drain", "after_drain", "after_reboot")
TRIGGERS = (
    "draining: ",
    "started: move",
    "started: reboot",
    "started: st",  # a guest that is shut down, or started again
    "started: mend",
    "done: ",
    "moved: ",
    "stayed: ",
    "mending: ",
    "replanned: ",
    "paused: ",
    "resumed: ",
    "stopped: ",
    "aside: ",
)
HELD = (RolloutState.STOPPED, RolloutState.PAUSED)


class Draw:
    """One story, drawn piece by piece."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.hosts = [f"h{n}" for n in range(self.chance.randint(3, 6))]
        self.guests: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {"title": f"seed {seed}", "resumes": 8, "until_s": 60_000}

    def story(self) -> dict[str, Any]:
        """All of it, as it would stand in a file."""
        self._fleet()
        self._gates()
        self._advisories()
        self._faults()
        limits: dict[str, float] = {
            "reboot_limit_s": 900,
            "max_lost_hosts": self.chance.randint(0, 1),
        }
        if self.often(0.8):
            limits["crash_budget"] = limits["class_budget"] = 1.0
        self.facts["limits"] = limits
        deeds = [deed for _ in range(self.chance.randint(0, 5)) for deed in self._deeds()]
        return self.facts | {"timeline": deeds}

    def often(self, share: float) -> bool:
        """Whether something happens that happens in this share of all stories."""
        return self.chance.random() < share

    def one(self, *of: Any) -> Any:
        """One of these."""
        return self.chance.choice(of)

    def _fleet(self) -> None:
        chance = self.chance
        offers = ["bridge:br0"] + (["livepatch"] if self.often(0.5) else [])
        hosts, xen = {}, self.one("4.17", "4.17", "4.20")
        for name in self.hosts:
            hosts[name] = {"gib": self.one(12, 16, 24), "offers": offers}
            hosts[name] |= {"reboot": False} if self.often(0.05) else {}
            hosts[name] |= {"group": self.one("r0", "r1")} if self.often(0.5) else {}
            hosts[name] |= {"xen": xen}
        for n in range(len(self.hosts) * chance.randint(2, 3)):
            self.guests[f"g{n}"] = self._guest(n)
        policy = {
            "canary_hosts": chance.randint(0, 1),
            "gates": self.one("canary", "every", "none"),
            "wave_hosts": chance.randint(1, 3),
            "max_hosts_away": chance.randint(1, 3),
            "max_moves_out_per_host": chance.randint(1, 2),
            "max_moves_in_per_host": chance.randint(1, 2),
        }
        if self.often(0.3):
            policy["max_hosts_away_per_group"] = 1
        self.facts |= {"hosts": hosts, "guests": self.guests, "policy": policy}
        self.facts["consents"] = [name for name in self.guests if self.often(0.4)]

    def _guest(self, number: int) -> dict[str, Any]:
        facts: dict[str, Any] = {"host": self.hosts[number % len(self.hosts)]}
        facts["gib"] = self.one(0.5, 1, 2, 3)
        facts["class"] = self.one("old-kernel", "new-kernel")
        if number < len(self.hosts) and self.often(0.15):
            facts["apart"] = ["db"]
        if self.often(0.12):
            facts["evacuation"] = self.one("restart", "restart", "hold")
        return facts

    def _gates(self) -> None:
        gates: dict[str, Any] = {}
        if self.facts["policy"]["gates"] != "none":
            gates["soak_s"] = self.one(0, 0, 300, 1800)
            gates["approval"] = self.often(0.15)
        if self.often(0.3):
            stages = self.chance.sample(STAGES, k=self.chance.randint(1, 4))
            gates["hooks"] = {stage: {"argv": ["check"]} for stage in stages}
            names = [f"{stage} {host}" for stage in stages for host in self.hosts]
            ends = {name: self.one(1, 70, None, [1], [None]) for name in names if self.often(0.12)}
            self.facts["hooks"] = ends
        if self.often(0.2):
            source = {"name": "pager", "url": "http://alerts.example"}
            gates["alerts"] = {"alertmanager": [source], "holds": self.one("waves", "drains")}
            self.facts["alerts"] = {"Smoke": self.one("resolved", "resolved", "silenced")}
        if self.often(0.1):  # the stories begin at 22:00 UTC
            opens, closes = self.one(("22:10", "23:00"), ("22:00", "22:20"), ("00:30", "04:00"))
            windows = [{"opens": opens, "closes": closes}]
            gates["windows"] = {"zone": "UTC", "windows": windows}
        self.facts["gates"] = gates

    def _advisories(self) -> None:
        if self.often(0.3):
            one: dict[str, Any] = {"id": "XSA-1", "livepatches": {"old": "/p/xsa1.livepatch"}}
            if self.often(0.6):
                self.facts["advisories"] = [one | {"fixed_builds": ["new"]}]
            else:
                one["livepatches"]["new"] = "/p/xsa1-new.livepatch"
                self.facts["advisories"] = [one, {"id": "XSA-2", "fixed_builds": ["new"]}]
            exits = {name: self.one([1], [2], [2, 2, 2], [1, 1, 1, 1]) for name in self.hosts}
            self.facts["patch_exits"] = {n: e for n, e in exits.items() if self.often(0.2)}
            self.facts["livepatch"] = self.often(0.8)
            self.facts["without_payloads"] = [name for name in self.hosts if self.often(0.1)]
        if self.often(0.15):
            lacks = self.one({"without": ["bridge:br0"]}, {"microcode": "0x8"})
            self.facts["comes_back"] = {self.one(*self.hosts): lacks}

    def _faults(self) -> None:
        names = self.chance.sample(sorted(self.guests), k=min(3, self.chance.randint(0, 5)))
        endings = [name for name in ENDINGS if "on both" not in name]
        faults: dict[str, Any] = {}
        for name in names:
            many = self.chance.choices(endings, k=self.chance.randint(1, 2))
            faults[name] = self.one(many, many[0], "stays_up", "ignores its suspend request")
        if names and self.often(0.05):
            faults[names[0]] = ["runs on both"]
        self.facts["faults"] = faults
        for field, share in (("lost_hosts", 0.12), ("wrong_builds", 0.08)):
            self.facts[field] = [self.one(*self.hosts)] if self.often(share) else []

    def _deeds(self) -> Iterator[dict[str, Any]]:
        """One thing that happens, and what makes it good again where it has to be."""
        when: dict[str, Any] = {"at_s": self.chance.randint(0, 1500)}
        if self.often(0.5):
            line = {"after": self.one(*TRIGGERS)}
            when = {**line, "wait_s": self.one(0, 1, 3, 7, 20, 60)}
        name = "at_s" if "at_s" in when else "wait_s"
        later = {**when, name: when[name] + self.one(5, 40, 200, 700, 2000)}
        deed, after = self._deed()
        yield when | deed
        if after:
            yield later | after

    def _deed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        kinds = (self._people, self._hosts, self._hosts, self._guests, self._guests, self._around)
        found: tuple[dict[str, Any], dict[str, Any]] = self.one(*kinds)()
        return found

    def _people(self) -> tuple[dict[str, Any], dict[str, Any]]:
        host, wave = self.one(*self.hosts), f"wave {self.chance.randint(1, 4)}"
        of = self.one("rollout", "rollout", f"host {host}", wave)
        found: tuple[dict[str, Any], dict[str, Any]] = self.one(
            ({"pause": "a call", "of": of}, {"resume": "all quiet", "of": of}),
            ({"pause": "a call", "of": of}, {}),
            ({"abort": "enough", "of": self.one(of, f"host {host}")}, {}),
            ({"resume": "go on", "of": of}, {}),
            ({"approve": "looks good", "of": wave}, {}),
            ({"release": self.one("old-kernel", "new-kernel")}, {}),
        )
        return found

    def _hosts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        host, other = self.chance.sample(self.hosts, k=2)
        lacks = self.one({"without": ["bridge:br0"]}, {"xenstored": "dead"}, {"livepatches": []})
        whole: dict[str, Any] = {"livepatches": []} if "livepatches" in lacks else {"without": []}
        if "xenstored" in lacks:
            whole = {"xenstored": "alive"}
        found: tuple[dict[str, Any], dict[str, Any]] = self.one(
            ({"silent": [host]}, {"heard": [host]}),
            ({"silent": [host]}, {}),
            ({"silent": [host, other]}, {"heard": [host, other]}),
            ({"dies": [host]}, {"returns": [host]}),
            ({"dies": [host]}, {"dead": "fenced", "of": f"host {host}"}),
            ({"returns": [host]}, {}),
            ({"reboots": [host]}, {}),
            ({"becomes": {host: lacks}}, {"becomes": {host: whole}}),
            ({"agents": [host]}, {"agents": [host, other]}),
            ({"clocks": {host: self.one(-900, -60, 90, 7200)}}, {"clocks": {host: 0}}),
        )
        return found

    def _guests(self) -> tuple[dict[str, Any], dict[str, Any]]:
        host, guest, new = self.one(*self.hosts), self.one(*self.guests), self._new()
        fault = self.one(*(name for name in ENDINGS if "on both" not in name))
        found: tuple[dict[str, Any], dict[str, Any]] = self.one(
            ({"create": {new: host}}, {"shut_down": [new]} if self.often(0.3) else {}),
            ({"create": {new: host}}, {"rename": {new: self._new()}}),
            ({"carry": {guest: host}}, {}),
            ({"shut_down": [guest]}, {"start": {guest: host}}),
            ({"start": {guest: host}}, {}),
            ({"rename": {guest: new}}, {}),
            ({"restarts": {guest: self.one("crashed", "asked", "unknown")}}, {}),
            ({"stays_crashed": [guest]}, {"shut_down": [guest]}),
            ({"faults": {guest: [fault, fault]}}, {}),
        )
        return found

    def _new(self) -> str:
        return f"n{self.chance.randint(0, 99)}"

    def _around(self) -> tuple[dict[str, Any], dict[str, Any]]:
        name = f"{self.one(*STAGES)} {self.one(*self.hosts)}"
        found: tuple[dict[str, Any], dict[str, Any]] = self.one(
            ({"no_controller_s": self.one(10, 100, 2000)}, {}),
            ({"loses_s": self.one(1, 2, 5)}, {}),
            ({"loses_s": self.one(1, 2, 5)}, {"loses_s": 1}),
            ({"alerts": {"Smoke": "firing"}}, {"alerts": {"Smoke": "resolved"}}),
            ({"unasked": True}, {"unasked": False}),
            ({"hooks": {name: self.one(1, None, 70)}}, {"hooks": {name: 0}}),
        )
        return found


def random_story(seed: int) -> tuple[Story, dict[str, Any]]:
    """The story of a seed, and what would stand in its file."""
    facts = Draw(seed).story()
    return Story.model_validate(facts), facts


def random_fate(seed: int) -> Fate:
    """Deaths of controllers: none in a third of all stories, else at so many of their writes."""
    chance = Random(f"fate {seed}")
    share = chance.choice([0.0, 0.05, 0.3])
    return lambda when: chance.random() < share


def played(client: redis.Redis, seed: int) -> Player:
    """The story of a seed, played to its end."""
    player = Player(client, random_story(seed)[0], fate=random_fate(seed))
    player.run()
    return player


def wrongs(player: Player) -> list[str]:
    """What is wrong with a story's end, whatever the story is."""
    book, world = player.book(), player.world
    found = complaints(player)
    state = book.rollout.state
    if state not in (*ENDED, *HELD) and not _waits_for_a_person(book):
        found.append(f"it does not come to an end: {state} after {player.now_s:.0f} s")
    found += _unexplained(book)
    if state in ENDED:
        for name in world.guests:
            places = world.runs_on(name)
            if len(places) != 1 and name not in world.hurt | world.doubled:
                found.append(f"{name} runs on {places}, and nobody ended it")
    return found


def _unexplained(book: Book) -> list[str]:
    """Steps that could go on and do not, where nothing that is shown says why."""
    state = book.rollout.state
    if state in ENDED:
        return []
    found = holds(book)
    whole = state is not RolloutState.ABORTING and any(one.what == "rollout" for one in found)
    held = {one.what for one in found}
    steps = [*book.running(), *book.startable()]
    return [
        f"{describe(step)} is {step.state}, and nothing says why it does not go on"
        for step in steps
        if not (whole or held.intersection(_parts(step)) or step.reason)
    ]


def _parts(step: Step) -> set[str]:
    hosts = {f"host {name}" for name in step.hosts}
    return hosts | {f"wave {step.wave}", f"guest {step.guest}"}


def _waits_for_a_person(book: Book) -> bool:
    """A rollout may run for ever around what a hook or a person has stopped, and says so."""
    return any(one.what != "rollout" and one.by != BEFORE for one in holds(book))


def main(words: list[str]) -> None:
    """Play the seeds of the command line."""
    seeds = [n for word in words for n in _range(word)]
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                for seed in seeds:
                    client.flushall()
                    _show(client, seed, whole=len(seeds) == 1)
        finally:
            server.stop()


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    return range(int(first), int(last or first) + 1)


def _show(client: redis.Redis, seed: int, *, whole: bool) -> None:
    if whole:
        print(yaml.safe_dump(random_story(seed)[1], sort_keys=False, default_flow_style=None))
    player = played(client, seed)
    found = wrongs(player)
    if whole:
        for line in player.log:
            print(f"{line.at_s:8.0f} s  {line.text}")
        print(f"refused by hosts: {player.world.refusals}; lives: {player.lives}")
    hold = player.book().rollout.hold
    state = f"{player.book().rollout.state}{f' ({hold.reason[:90]})' if hold else ''}"
    print(f"seed {seed}: {state} after {player.now_s:.0f} s, {player.lives} lives", flush=True)
    for wrong in found:
        print(f"  -> {wrong}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
