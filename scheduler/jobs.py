"""Orders as RQ jobs; the only module here that imports rq.

RQ carries "make sure that attempt A is under way" to a host and nothing more: it may carry it
twice, late, or after the plan moved on. What makes a step run once is the host's journal.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from agents.keys import JOB_FUNCTION, job_id, queue_name
from agents.wire import Order

SENT_AGAIN = frozenset(
    {JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED, JobStatus.CANCELED}
)


def send(client: redis.Redis, orders: Iterable[Order]) -> None:
    """Put each order's job on its host's queue, unless it is there already."""
    for order in orders:
        _send(client, order)


def _send(client: redis.Redis, order: Order) -> None:
    queue = Queue(queue_name(order.host), connection=client, serializer=JSONSerializer)
    name = job_id(order.host, order.attempt_id)
    _clear_ended(client, name)
    try:
        queue.enqueue_call(
            JOB_FUNCTION,
            args=(order.attempt_id,),
            job_id=name,
            timeout=-1,
            # Not 0: RQ 3.0 then deletes the job at its end, which fails, and is tried 20 times,
            # where an execution of it was cut off by the host's reboot and has expired since.
            result_ttl=600,
            failure_ttl=3600,
            retry=Retry(max=20),
            unique=True,
        )
    except DuplicateJobError:
        return  # it is on its way: exactly what was wanted


def _clear_ended(client: redis.Redis, name: str) -> None:
    """A job that RQ gave up on would keep its id from being sent again."""
    try:
        job = Job.fetch(name, connection=client, serializer=JSONSerializer)
    except NoSuchJobError:
        return
    if job.get_status() in SENT_AGAIN:
        # RQ's own delete() raises when an execution that a reboot cut off is no more; the id is
        # free as soon as the job's hash is gone.
        client.delete(Job.key_for(name))
