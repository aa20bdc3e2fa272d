"""The hosts of `tests.sim` behind a real server: a controller sees them as it sees real ones."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import cast

import redis

from agents.keys import CLAIM_LUA, keys
from agents.wire import Attempt, AttemptState, Order, RefusalCode, Wanted
from planner.fleet import Fleet
from scheduler.control import Controller, Parts
from scheduler.launch import Draw, Wish, begin
from scheduler.limits import Limits
from scheduler.planning import plan_fleet
from scheduler.rollout import ENDED, Rollout, RolloutState
from scheduler.store import Store
from tests.sim import NEW, START, Sim, SimHost


class VirtualClock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class RedisFleet:
    """Plays the agents: takes orders through the real claim, publishes reports, in virtual time."""

    kind: type[Sim] = Sim

    def __init__(self, client: redis.Redis, fleet: Fleet, **sim: object) -> None:
        self.client = client
        self.sim = self.kind(fleet, **sim)  # type: ignore[arg-type]
        self.clock = VirtualClock()
        self.mute: set[str] = set()
        self.agents: Counter[str] = Counter()  # how often agents were started anew
        self.clocks_s: dict[str, float] = {}  # by how much hosts' clocks are wrong
        self.log: list[str] = []
        self._claim = client.register_script(CLAIM_LUA)
        self._sequence = 0
        self._writers = 0
        self.store = Store(client, "test")

    def begin(self) -> Rollout:
        """What `xenroll rollout start` does, on the reports of now."""
        sim = self.sim
        for advisory in (*sim.advisories, *sim.keeps):
            self.store.put_advisory(advisory)
        names = ", ".join(one.id for one in sim.advisories)
        wish = Wish(
            names or "XSA-1", () if names else (NEW,), "security", advisories=sim.advisories
        )
        self.publish()
        draw = Draw(
            wish,
            sim.planned,
            sim.announced.fleet or b"{}",
            self.clock.now(),
            livepatch=sim.livepatch and bool(names),
            keeps=sim.keeps,
            gates=sim.gates,
        )
        return begin(self.store, draw)

    def controller(self, limits: Limits | None = None) -> Controller:
        """A controller as it is right after its start."""
        self._writers += 1
        parts = Parts(
            client=self.client,
            store=Store(self.client, f"controller-{self._writers}"),
            clock=self.clock,
            plan=plan_fleet,
            limits=limits or Limits(),
            log=self.log.append,
        )
        return Controller(parts, self.sim.inventory)

    def publish(self) -> None:
        """Every host that is up and not mute looks and reports."""
        self._sequence += 1
        speaking = self._speaking()
        with self.client.pipeline(transaction=False) as pipe:
            for host in speaking:
                pipe.get(keys.look(host.name))
                pipe.hkeys(keys.orders(host.name))
            answers = pipe.execute()
        reports = {}
        for host, look, orders in zip(speaking, answers[::2], answers[1::2], strict=True):
            told = {name.decode() for name in orders} | self.sim.stopped_on(host.name)
            known = [self.sim.attempt(name) for name in sorted(told)]
            update = {
                "sequence": self._sequence,
                "agent_id": f"sim-{self.agents[host.name]}",
                "taken_at": self._by_its_clock(host.name, self.clock.now()),
                "answers": int(look or 0),
                "attempts": tuple(self._dated(host.name, one) for one in known if one),
            }
            report = self.sim.look(host).model_copy(update=update)
            reports[keys.report(host.name)] = report.model_dump_json()
        if reports:
            self.client.mset(reports)

    def _by_its_clock(self, host: str, time: datetime) -> datetime:
        return time + timedelta(seconds=self.clocks_s.get(host, 0.0))

    def _dated(self, host: str, attempt: Attempt) -> Attempt:
        times = {"started_at": attempt.started_at, "ended_at": attempt.ended_at}
        wrong = {name: self._by_its_clock(host, at) for name, at in times.items() if at}
        return attempt.model_copy(update=wrong)

    def _speaking(self) -> list[SimHost]:
        """The hosts that are up and not mute."""
        return [h for h in self.sim.hosts.values() if h.up and h.name not in self.mute]

    def take_orders(self) -> None:
        """Every host that is up takes what was ordered, through the script that real ones use."""
        speaking = self._speaking()
        with self.client.pipeline(transaction=False) as pipe:
            for host in speaking:
                pipe.hgetall(keys.orders(host.name))
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
        for orders in answers:
            for name, raw in orders.items():
                if not self.sim.attempt(name.decode()):
                    self._take(Order.model_validate_json(raw))

    def _take(self, order: Order) -> None:
        names = [keys.control(order.rollout_id), keys.orders(order.host), keys.claims(order.host)]
        answer = cast(
            "bytes", self._claim(keys=names, args=[order.attempt_id, order.epoch, "now"])
        ).decode()
        if answer == "run":
            self.sim.ordered.append((self.clock.now(), order))
            self.sim.start(order)
        else:
            code = RefusalCode(answer)
            self.sim.say(order, AttemptState.REFUSED, refusal=code, reason=answer)

    def pass_time(self, seconds: float) -> None:
        """The clock, and what the hosts have under way, go on."""
        self.clock.time += timedelta(seconds=seconds)
        self.sim.go_on_to(self.clock.time)

    def round(self, controller: Controller, step_s: float = 5.0) -> None:
        """One round of everybody."""
        controller.tick()
        self.take_orders()
        self.pass_time(step_s)
        self.publish()

    def run(self, controller: Controller, rounds: int = 3000) -> None:
        """Rounds until the rollout has ended, or so many."""
        for _ in range(rounds):
            self.round(controller)
            if self.head().state in ENDED:
                return

    def run_until_stopped(self, controller: Controller) -> None:
        """Rounds until a doubt has stopped the rollout; it is to be one."""
        for _ in range(200):
            self.round(controller)
            if self.head().state is RolloutState.STOPPED:
                return
        raise AssertionError("it was to stop")

    def head(self) -> Rollout:
        """The rollout's head as it stands in the server."""
        return self.store.head(self.store.ids()[-1])

    def want(self, wanted: Wanted) -> None:
        """What the command line writes."""
        assert self.store.want(self.head().id, wanted, "on-call", "asked", self.clock.now())
