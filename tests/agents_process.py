"""A whole agent as a process of its own, and what a controller would write for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from agents.keys import JOB_FUNCTION, job_id, keys, queue_name
from agents.wire import Attempt, Order, Report
from tests.agents_dom0 import Dom0
from tests.waiting import children


class Agent:
    """Starts, kills and restarts `xenroll-agent run`; its log is kept."""

    def __init__(self, dom0: Dom0) -> None:
        self.dom0 = dom0
        self.log = dom0.base / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-m", "agents", "run", "--config", str(self.dom0.written())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log, start_new_session=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        return children(self.pid)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the agent; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def stop(self) -> None:
        """End it and its workers, whatever state they are in."""
        if self.process is not None and self.process.poll() is None:
            workers = self.workers()
            self.kill()
            for pid in workers:
                for one in (*children(pid), pid):
                    kill(one)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """A process that has just ended by itself is as good as killed."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Controller:
    """Writes orders and jobs, reads reports."""

    def __init__(self, client: redis.Redis, host: str = "n1") -> None:
        self.client, self.host = client, host
        self.queue = Queue(queue_name(host), connection=client, serializer=JSONSerializer)

    def wants(self, wanted: str, epoch: int = 1) -> None:
        self.client.hset(keys.control("r1"), mapping={"wanted": wanted, "epoch": epoch})

    def gives(self, order: Order) -> None:
        """The order first, then the job, as the real controller does."""
        self.client.hset(keys.orders(self.host), order.attempt_id, order.model_dump_json())
        self.sends(order.attempt_id)

    def sends(self, attempt_id: str) -> None:
        name = job_id(self.host, attempt_id)
        if Job.exists(name, connection=self.client):
            return
        try:
            self.queue.enqueue_call(
                JOB_FUNCTION,
                args=(attempt_id,),
                job_id=name,
                timeout=-1,
                result_ttl=0,
                failure_ttl=3600,
                retry=Retry(max=20),
                unique=True,
            )
        except DuplicateJobError:
            return

    def report(self) -> Report | None:
        raw = self.client.get(keys.report(self.host))
        assert raw is None or isinstance(raw, bytes | str)
        return Report.model_validate_json(raw) if raw is not None else None

    def attempt(self, attempt_id: str) -> Attempt | None:
        report = self.report()
        found = [a for a in report.attempts if a.attempt_id == attempt_id] if report else []
        return found[0] if found else None

    def state(self, attempt_id: str) -> str | None:
        found = self.attempt(attempt_id)
        return found.state.value if found else None
