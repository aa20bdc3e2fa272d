"""RQ workers of one host: one queue, a fixed list of functions, nothing else that RQ offers.

A job names a function and gives it one argument, the id of an attempt. Whatever else somebody
writes into a job (callbacks, webhooks, other functions, pickled data) is not looked at.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any, ClassVar

import redis
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker.base import WorkerStatus

from agents import host_files
from agents.host_files import FileError
from agents.journal import JournalError
from agents.keys import JOB_FUNCTION, host_slug, queue_name
from agents.settings import Settings
from agents.steps import Context, OrderError, run_step

log = logging.getLogger("agent.step")

WORKER_TTL_S = 60
MAINTENANCE_S = 30
MONITORING_S = 10
RESULT_TTL_S = 3600
FAREWELL_S = 5.0


class NotAllowed(Exception):
    """A job asks for something that this host does not do for anybody."""


class AllowJob(Job):
    """A job whose function is looked up, never imported, and which calls nobody back."""

    functions: ClassVar[dict[str, Callable[[str], object]]] = {}

    @property
    def func(self) -> Callable[..., object]:
        if self.instance is not None:
            raise NotAllowed("a method of an object")
        function = self.functions.get(str(self.func_name))
        if function is None:
            raise NotAllowed(f"function {str(self.func_name)[:80]!r}")
        if len(self.args) != 1 or not isinstance(self.args[0], str) or self.kwargs:
            raise NotAllowed("arguments other than one attempt id")
        return function

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    def send_webhooks(self, *args: Any, **options: Any) -> None:
        """A webhook would let a writer of jobs reach addresses from dom0."""


class AllowQueue(Queue):
    job_class = AllowJob


class SafeWorker(Worker):
    """Takes no commands by publish/subscribe: stopping a job would not stop a migration."""

    job_class = AllowJob
    queue_class = AllowQueue
    log_result_lifespan = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """An idle worker ends soon, even if its farewell cannot be told because Redis is away."""
        if self.get_state() != WorkerStatus.BUSY:
            farewell = threading.Timer(FAREWELL_S, os._exit, (0,))
            farewell.daemon = True
            farewell.start()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def subscribe(self) -> None:
        """No channel, and one connection less for each worker."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""


def carry_out(context: Context, attempt_id: str) -> dict[str, str]:
    """The function of a job. What no second try could mend is one line in the log, not a retry."""
    try:
        return run_step(context, attempt_id)
    except (OrderError, JournalError, FileError) as error:
        log.error("%s", error)
        return {"attempt_id": attempt_id, "error": str(error)}


def worker_name(settings: Settings, boot_id: str, pid: int) -> str:
    """Never used twice, so that the entry of a killed worker is not in the way of the next."""
    return f"{host_slug(settings.host)}-{boot_id.replace('-', '')[:8]}-{pid}"


def make_worker(settings: Settings, client: redis.Redis) -> SafeWorker:
    """A worker of this process on this host's queue. Raises FileError, redis.RedisError."""
    context = Context(settings, client, lambda: datetime.now(UTC))
    functions: dict[str, Callable[[str], object]] = {JOB_FUNCTION: partial(carry_out, context)}
    job_class = type("StepJob", (AllowJob,), {"functions": functions})
    queue_class = type("StepQueue", (AllowQueue,), {"job_class": job_class})
    return SafeWorker(
        [queue_name(settings.host)],
        name=worker_name(settings, host_files.boot_id(settings), os.getpid()),
        connection=client,
        job_class=job_class,
        queue_class=queue_class,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=MAINTENANCE_S,
        job_monitoring_interval=MONITORING_S,
        default_result_ttl=RESULT_TTL_S,
        log_job_description=False,
    )


def work(settings: Settings, client: redis.Redis) -> None:
    """Work until told to stop, or until Redis has been away for too long."""
    logging.getLogger("rq.worker").setLevel(logging.WARNING)
    make_worker(settings, client).work(logging_level="WARNING", with_scheduler=False)
