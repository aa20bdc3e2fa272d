"""A small fleet on stage, what may be killed in it, and what must be true of it afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from agents.keys import keys
from agents.wire import Kind
from planner.fleet import Fleet
from scheduler.demo.example import SMALL, SMALL_POLICY, example_fleet, fleet_file
from scheduler.demo.family import Process, descendants, send
from scheduler.demo.judge import judge
from scheduler.demo.layout import Pace, Places, fixed_build, lay_out
from scheduler.demo.run import CONTROLLER
from scheduler.demo.stage import Plot, Stage
from scheduler.demo.trouble import Trouble
from scheduler.rollout import ENDED, Rollout
from scheduler.standin.ledger import audit, events, running
from scheduler.standin.store import World
from tests.make import fleet_json

AGENT_SETTINGS = {"stop_wait_s": 60.0, "reboot_linger_s": 60.0, "poll_s": 0.1}
POLL_S = 0.05

# What of the ledger shows that an attempt of this kind has started something.
SHOWN_BY = {Kind.MOVE: "migrate", Kind.REBOOT: "reboot"}

NEVER_KILLED = {"xl", "ssh", "libxl-save-helper", "systemctl", "xen-livepatch"}
"""The hypervisor's own programs: what their death does is told in tests of the stand-in."""


def small_fleet() -> Fleet:
    return example_fleet(3, SMALL, SMALL_POLICY)


def plot(state_dir: Path, speed: float) -> Plot:
    fleet, places = small_fleet(), Places(state_dir)
    pace = Pace(speed=speed, report_interval_s=3.0, workers=2, agent_settings=AGENT_SETTINGS)
    lay_out(places, fleet, fleet_file(fleet).encode(), pace, frozenset())
    return Plot(places, fleet, pace, None, CONTROLLER)


def small_stage(
    folder: Path, small: Fleet, redis_url: str, environment: Mapping[str, str] = CONTROLLER
) -> Stage:
    """Agents, workers and a controller with this environment for a few hosts, on this server."""
    places = Places(folder / "state")
    pace = Pace(speed=60.0, report_interval_s=1.0, workers=2, agent_settings=AGENT_SETTINGS)
    lay_out(places, small, fleet_json(small), pace, frozenset())
    return Stage(Plot(places, small, pace, redis_url, environment))


def begin(stage: Stage) -> str:
    """Bring the agents up and start a rollout; its id."""
    code, said = stage.xenroll("inventory", "apply", str(stage.plot.places.inventory))
    assert code == 0, said
    stage.machines.start()
    stage.controller.start()
    stage.wait_for_agents(lambda here, of: None)
    build = fixed_build(stage.plot.fleet)
    words = ("--fixed-build", build, "--xen-after", "4.19", "--reason", "a test")
    code, said = stage.xenroll("rollout", "start", "XSA-1", *words)
    assert code == 0, said
    return stage.store.ids()[-1]


def until(stage: Stage, true: Callable[[], bool], limit_s: float, what: str) -> None:
    """Keep everything up until it is so; an answer that the server cannot give counts as no."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        stage.keep_up()
        try:
            if true():
                return
        except RedisError:
            pass  # it is being started again
        time.sleep(POLL_S)
    log = stage.plot.places.logs / "controller.log"
    raise AssertionError(f"{what}: not within {limit_s:g} s\n{log.read_text()[-3000:]}")


def rest(stage: Stage, seconds: float) -> None:
    """Let so much time pass, everything being kept up."""
    end_s = time.monotonic() + seconds
    until(stage, lambda: time.monotonic() >= end_s, seconds + 60.0, "a rest")


def head(stage: Stage) -> Rollout:
    return stage.store.head(stage.store.ids()[-1])


def has_ended(stage: Stage) -> bool:
    return head(stage).state in ENDED


def has_ended_if_it_can_be_told(stage: Stage) -> bool:
    """The same, but no while the server is away."""
    try:
        return has_ended(stage)
    except RedisError:
        return False


def program(process: Process) -> str:
    """The name of the program that a process runs, past an interpreter and its options."""
    words = [word for word in process.command() if not word.startswith("-")]
    names = [os.path.basename(word) for word in words]
    return next((n for n in names if n == "steprun.py" or n in NEVER_KILLED), "")


def victims(stage: Stage) -> dict[str, list[int]]:
    """Pids of what may be killed now, by what it is."""
    found: dict[str, list[int]] = {"agent": [], "worker": [], "horse": [], "step runner": []}
    machines = stage.machines.process
    below = descendants(machines.pid) if machines else []
    depth = {machines.pid: 0} if machines else {}
    for process in below:
        depth[process.pid] = depth.get(process.parent, 9) + 1
        name = program(process)
        if name == "steprun.py":
            found["step runner"].append(process.pid)
        elif not name and 2 <= depth[process.pid] <= 4:
            found[("agent", "worker", "horse")[depth[process.pid] - 2]].append(process.pid)
    if stage.controller.process:
        found["controller"] = [stage.controller.process.pid]
    if stage.server and stage.server.server.process:
        found["server"] = [stage.server.server.process.pid]
    return {kind: pids for kind, pids in found.items() if pids}


KINDS = ("agent", "worker", "horse", "step runner", "controller", "server", "all")
"""What is killed: an RQ worker is a process that forks a horse for each job."""

RARE_S = 8.0
"""How long a process that lives only for moments is waited for."""


@dataclass
class Killer:
    """Kills by chance; `killed` counts what."""

    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def strike(self, stage: Stage) -> None:
        """Kill one process of the kind that was killed least, or everything at once."""
        # In turn, so that every kind is killed often enough; by chance, which one and when.
        for kind in sorted(KINDS, key=lambda kind: (self.killed[kind], self.chance.random())):
            pids = self._find(stage, kind)
            if any([send(pid, signal.SIGKILL) for pid in pids]):
                self.killed[kind] += 1
                return

    def _find(self, stage: Stage, kind: str) -> list[int]:
        end_s = time.monotonic() + RARE_S
        while time.monotonic() < end_s:
            living = victims(stage)
            if kind == "all":
                pids = [pid for some in living.values() for pid in some]
                self.chance.shuffle(pids)
                return pids
            if kind in living:
                return [self.chance.choice(living[kind])]
            stage.keep_up()
        return []


def started(plot: Plot) -> list[dict[str, Any]]:
    """The ledger's lines about something that a step starts."""
    past = events(World(str(plot.places.world)))
    return [line for line in past if line["event"] in SHOWN_BY.values()]


def starts_in_the_ledger(plot: Plot) -> Counter[tuple[str, str, str]]:
    """(host, kind, guest) -> how often the machines saw it start."""
    kinds = {event: str(kind) for kind, event in SHOWN_BY.items()}
    return Counter(
        (line["host"], kinds[line["event"]], str(line.get("name", ""))) for line in started(plot)
    )


def claims(stage: Stage) -> set[tuple[str, str]]:
    """(host, guest) of every attempt that has its permission to start."""
    found = set()
    for host in stage.plot.fleet.hosts:
        orders = stage.client.hgetall(keys.orders(host.name))
        allowed = stage.client.hkeys(keys.claims(host.name))
        assert isinstance(orders, dict) and isinstance(allowed, list)
        for attempt in set(allowed) & set(orders):
            found.add((host.name, json.loads(orders[attempt])["guest"] or ""))
    return found


def attempts_that_started(places: Places, fleet: Fleet) -> Counter[tuple[str, str, str]]:
    """(host, kind, guest) -> how many attempts the host's journal has as started."""
    found: Counter[tuple[str, str, str]] = Counter()
    for host in fleet.hosts:
        for started in (places.agent(host.name) / "state" / "attempts").glob("*/started.json"):
            order = json.loads((started.parent / "order.json").read_text())
            found[host.name, order["kind"], order["guest"] or ""] += 1
    return found


def nothing_started_twice(plot: Plot) -> None:
    """The machines saw no more starts than there were attempts: none was carried out twice."""
    attempts = attempts_that_started(plot.places, plot.fleet)
    seen = starts_in_the_ledger(plot)
    assert seen, "the machines saw nothing start: there is nothing to compare"
    for what, times in seen.items():
        assert times <= attempts[what], f"{what} started {times} times in {attempts[what]} attempts"


def every_guest_runs_once(plot: Plot) -> None:
    """Now, and at every moment before: no second copy, nobody lost."""
    world = World(str(plot.places.world))
    assert audit(world) == []
    running_now = running(world)
    for guest in plot.fleet.guests:
        assert len(running_now.get(guest.uuid or "", [])) == 1, guest.name


def all_is_well(plot: Plot) -> None:
    """Every host is fixed, every guest runs once, and the ledger has nothing to complain of."""
    verdict = judge(plot.places.world, plot.fleet, Trouble())
    assert verdict.good, "\n".join(verdict.lines)
    nothing_started_twice(plot)
