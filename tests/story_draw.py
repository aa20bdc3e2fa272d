"""Draws stories: random fleets, policies, faults and wishes; the same seed gives the same story."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from tests.sim_endings import ENDINGS
from tests.stories import Story

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
