"""A worker runs one function and nothing else, whatever somebody writes into a job."""

from __future__ import annotations

import json
import os
import pickle
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Callback, Queue, Webhook
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from agents import crew
from agents.client import patient
from agents.keys import JOB_FUNCTION, host_slug, job_id, keys, queue_name
from agents.worker import make_worker, worker_name
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import domain, order


class Bench:
    """A host whose worker can be let loose on its queue until that is empty."""

    def __init__(self, base: Path, url: str, client: redis.Redis) -> None:
        self.dom0, self.client = Dom0(base, url), client
        self.dom0.shows(domain())
        self.queue = Queue(queue_name("n1"), connection=client, serializer=JSONSerializer)
        self.proof = base / "proof"

    def work(self) -> None:
        """In a process of its own, as an agent would."""
        pid = crew._fork(self._burst)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0

    def _burst(self) -> None:
        settings = self.dom0.settings
        make_worker(settings, patient(settings)).work(burst=True, logging_level="ERROR")

    def put(self, function: Any, args: tuple[Any, ...], **more: Any) -> Job:
        return self.queue.enqueue_call(function, args=args, timeout=-1, **more)

    def forge(self, job: Job, data: bytes) -> Job:
        """Replace what a queued job asks for."""
        self.client.hset(job.key, "data", data)
        return job

    def status(self, job: Job) -> JobStatus | None:
        return job.get_status(refresh=True)

    def said(self, job: Job) -> str:
        result = job.latest_result()
        return (result.exc_string or "") if result else ""


@pytest.fixture
def bench(tmp_path: Path, redis_url: str, redis_client: redis.Redis) -> Bench:
    return Bench(tmp_path, redis_url, redis_client)


def test_a_job_for_an_attempt_is_carried_out(bench: Bench) -> None:
    bench.client.hset(keys.orders("n1"), "r1-s1-a1", order().model_dump_json())
    bench.client.hset(keys.control("r1"), mapping={"wanted": "run", "epoch": 1})
    job = bench.put(JOB_FUNCTION, ("r1-s1-a1",), job_id=job_id("n1", "r1-s1-a1"))
    bench.work()
    assert bench.status(job) is JobStatus.FINISHED
    assert job.return_value() == {"attempt_id": "r1-s1-a1", "state": "ended"}
    assert len(bench.dom0.calls("migrate")) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        lambda proof: ["os.system", None, [f"touch {proof}"], {}],
        lambda proof: ["subprocess.getoutput", None, [f"touch {proof}"], {}],
        lambda proof: [JOB_FUNCTION, "os", [f"touch {proof}"], {}],
        lambda proof: ["system", {"a": 1}, [f"touch {proof}"], {}],
        lambda proof: [JOB_FUNCTION, None, [], {}],
        lambda proof: [JOB_FUNCTION, None, ["r1-s1-a1", "more"], {}],
        lambda proof: [JOB_FUNCTION, None, ["r1-s1-a1"], {"context": 1}],
        lambda proof: [JOB_FUNCTION, None, [["r1-s1-a1"]], {}],
        lambda proof: [None, None, [], {}],
        lambda proof: ["", None, [], {}],
    ],
)
def test_a_forged_job_fails_and_runs_nothing(
    bench: Bench, wanted: Callable[[Path], list[Any]]
) -> None:
    job = bench.put(JOB_FUNCTION, ("r1-s1-a1",))
    bench.forge(job, zlib.compress(json.dumps(wanted(bench.proof)).encode()))
    bench.work()
    assert bench.status(job) is JobStatus.FAILED
    assert "NotAllowed" in bench.said(job)
    assert not bench.proof.exists()


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "x" * 200])
def test_an_attempt_id_that_is_a_path_is_refused(bench: Bench, name: str) -> None:
    job = bench.put(JOB_FUNCTION, (name,))
    bench.work()
    assert "is no attempt id" in str(job.return_value())


class Bomb:
    """Runs a command in whoever unpickles it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (self.command,))


def test_pickled_data_is_not_unpickled(bench: Bench) -> None:
    job = bench.put(JOB_FUNCTION, ("r1-s1-a1",))
    bench.forge(job, zlib.compress(pickle.dumps(Bomb(f"touch {bench.proof}"))))
    bench.work()
    assert not bench.proof.exists()


def test_nobody_is_called_back(bench: Bench) -> None:
    to = Callback("os.mkdir")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        urls = [Webhook(url, "finished"), Webhook(url, "failed")]
        for args in (("r1-s1-a1",), ()):
            job = bench.put(
                JOB_FUNCTION, args, on_success=to, on_failure=to, on_stopped=to, webhooks=urls
            )
            bench.work()
            assert bench.status(job) is (JobStatus.FINISHED if args else JobStatus.FAILED)
            assert "mkdir" not in bench.said(job)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_worker_listens_on_no_channel(bench: Bench) -> None:
    settings = bench.dom0.settings
    worker = make_worker(settings, patient(settings))
    worker.subscribe()
    assert worker.pubsub is None
    assert bench.client.pubsub_channels() == []
    worker.unsubscribe()


def test_a_worker_has_one_queue_and_a_name_that_tells_host_boot_and_process(
    bench: Bench,
) -> None:
    settings = bench.dom0.settings
    worker = make_worker(settings, patient(settings))
    assert worker.queue_names() == ["host-n1"]
    assert worker.name == f"n1-{BOOT_ID[:8]}-{os.getpid()}"
    odd = settings.model_copy(update={"host": "rack-1.n 2"})
    assert worker_name(odd, BOOT_ID, 7) == f"{host_slug('rack-1.n 2')}-{BOOT_ID[:8]}-7"
