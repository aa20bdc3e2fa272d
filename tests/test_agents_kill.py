"""Kill -9 of anything at any moment: never two starts of one attempt, and nothing is lost.

The test plays the controller: whatever the hosts do not speak of is sent again, also where RQ
still believes in an earlier job. So attempts are carried out by several jobs at a time, too.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq.job import Job

from agents.keys import job_id
from agents.wire import AttemptState, Order
from scheduler.embedded import EmbeddedServer
from tests.agents_dom0 import Dom0
from tests.agents_kit import domain, order
from tests.agents_process import Agent, Controller, kill
from tests.waiting import children, until

GUESTS = 6
KILLS = 10
VICTIMS = ("worker", "horse", "agent", "supervisor", "command", "everything", "server")


class Fleet:
    """One host with a few guests to move, and everything that can be killed."""

    def __init__(self, base: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = EmbeddedServer(base / "data")
        self.server.start()
        self.client = redis.Redis.from_url(self.server.url)
        self.dom0 = Dom0(base / "dom0", self.server.url, workers=2, start_limit_s=60.0)
        self.starts, self.ends = base / "starts", base / "ends"
        self.dom0.shows(
            *(domain(f"g{n}", domid=n, uuid=uuid(n)) for n in range(1, GUESTS + 1)),
            change=f"echo $4 >> {self.starts}; sleep 1.5; echo $4 >> {self.ends}; exit 1",
        )
        self.agent, self.controller = Agent(self.dom0), Controller(self.client)
        self.controller.wants("run")
        self.agent.start()

    def end(self) -> None:
        self.agent.stop()
        self.client.close()
        self.server.stop()

    def orders(self) -> list[Order]:
        return [
            order(attempt_id=f"r1-s{n}-a1", guest=f"g{n}", guest_uuid=uuid(n), domid=n)
            for n in range(1, GUESTS + 1)
        ]

    def strike(self) -> str:
        """Kill one of them; what was killed."""
        victim = self.chance.choice(VICTIMS)
        workers = self.agent.workers()
        horses = [pid for worker in workers for pid in children(worker)]
        steps = [self.pids_of(attempt) for attempt in self.orders()]
        supervisors = [pid for pair in steps for pid in pair[:1]]
        commands = [pid for pair in steps for pid in pair[1:]]
        groups = {
            "worker": workers[:1],
            "horse": horses[:1],
            "agent": [self.agent.pid],
            "supervisor": supervisors[:1],
            "command": commands[:1],
            "everything": [self.agent.pid, *workers, *horses, *supervisors, *commands],
            "server": [],
        }
        for pid in groups[victim]:
            kill(pid)
        if victim in ("server", "everything"):
            self._server_dies()
        return victim

    def pids_of(self, ordered: Order) -> list[int]:
        """Supervisor and command of an attempt, by what is on disk; none if it does not run."""
        child = self.dom0.settings.state / "attempts" / ordered.attempt_id / "child.json"
        try:
            pid = int(child.read_text().split('"pid": ')[1].split(",")[0])
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            return []
        parent = int(fields[1])
        return [parent, pid] if parent > 1 else [pid]

    def _server_dies(self) -> None:
        assert self.server.process is not None
        self.server.process.kill()
        self.server.process.wait()
        time.sleep(self.chance.random())
        self.server.start()

    def tend(self) -> None:
        """As systemd and the controller do: start what ended, send again what is not over."""
        assert self.agent.process is not None
        if self.agent.process.poll() is not None:
            self.agent.start()
        for one in self.orders():
            if self.controller.state(one.attempt_id) in (None, "running"):
                self._send_again(one)

    def _send_again(self, ordered: Order) -> None:
        name = job_id("n1", ordered.attempt_id)
        if self.chance.random() < 0.3 and Job.exists(name, connection=self.client):
            self.client.delete(f"rq:job:{name}")  # RQ still believes in it: we do not
        self.controller.gives(ordered)

    def settled(self) -> bool:
        over = {AttemptState.ENDED, AttemptState.UNKNOWN, AttemptState.REFUSED}
        return all(self.controller.state(one.attempt_id) in over for one in self.orders())


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def counted(path: Path) -> Counter[str]:
    return Counter(path.read_text().split()) if path.exists() else Counter()


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    made = Fleet(tmp_path, request.param)
    yield made
    made.end()


@pytest.mark.slow
@pytest.mark.parametrize("fleet", [1, 2, 3], indirect=True, ids="seed {}".format)
def test_whatever_is_killed_no_attempt_starts_twice_and_none_is_lost(fleet: Fleet) -> None:
    for one in fleet.orders():
        fleet.controller.gives(one)
    killed = []
    for _ in range(KILLS):
        time.sleep(fleet.chance.random() * 0.8)
        killed.append(fleet.strike())
        fleet.tend()
    print("killed:", killed)

    def over() -> bool:
        fleet.tend()
        return fleet.settled()

    until(over, "the end of every attempt", limit_s=240.0)
    starts, ends = counted(fleet.starts), counted(fleet.ends)
    assert max(starts.values(), default=0) <= 1, (killed, starts)
    for one in fleet.orders():
        said = fleet.controller.attempt(one.attempt_id)
        assert said is not None
        started = starts[str(one.domid)]
        if said.state is AttemptState.ENDED:
            assert started == 1 or said.exit_code == -9  # killed before its first word
            assert said.exit_code == -9 or (said.exit_code, ends[str(one.domid)]) == (1, 1)
        elif said.state is AttemptState.REFUSED:
            assert started == 0
        else:
            assert said.state is AttemptState.UNKNOWN and said.exit_code is None
