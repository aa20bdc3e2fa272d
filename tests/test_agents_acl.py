"""A host's Redis user: everything that its agent and workers do, and nothing to other hosts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from agents.keys import host_slug, keys, queue_name
from agents.steps import CLAIM
from scheduler.embedded import EmbeddedServer
from scheduler.enroll import set_user, withdraw
from scheduler.host_acl import user as user_of
from tests.agents_dom0 import Dom0
from tests.agents_kit import domain, order
from tests.agents_process import Agent, Controller, kill
from tests.waiting import children, until

HOST, PASSWORD = "rack-1.n1", "correct horse battery"
SLUG = host_slug(HOST)


def raw(client: redis.Redis, *words: str) -> Any:
    """A command as it is, without a typed method."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


@pytest.fixture
def user(valkey: EmbeddedServer, redis_client: redis.Redis) -> Iterator[str]:
    """The URL of this host's user, made as `xenroll host enroll` makes it."""
    set_user(redis_client, HOST, PASSWORD)
    redis_client.acl_log_reset()
    yield valkey.url.replace("unix://", f"unix://{user_of(HOST)}@")
    assert withdraw(redis_client, HOST)


def test_a_whole_run_is_within_its_rights(
    tmp_path: Path, user: str, redis_client: redis.Redis
) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    dom0 = Dom0(tmp_path / "dom0", user, redis_password_file=str(password))
    dom0.settings = dom0.settings.model_copy(update={"host": HOST})
    go = tmp_path / "go"
    dom0.shows(domain(), change=f"while [ ! -e {go} ]; do sleep 0.02; done; exit 1")
    agent, controller = Agent(dom0), Controller(redis_client, HOST)
    controller.wants("run")
    agent.start()
    try:
        until(lambda: controller.report() is not None, "the first report")
        controller.gives(order(host=HOST))
        until(lambda: controller.state("r1-s1-a1") == "running", "the start")
        for worker in agent.workers():  # a horse that is killed: RQ enqueues the job again
            for horse in children(worker):
                kill(horse)
        go.touch()
        until(lambda: controller.state("r1-s1-a1") == "ended", "the end")
        until(lambda: controller.queue.count == 0, "the retry")
        controller.sends("none-such")
        until(lambda: controller.queue.count == 0, "the job without an order")
        kill(agent.workers()[0], signal.SIGTERM)
        until(lambda: len(agent.workers()) == 1, "the next worker")
    finally:
        agent.stop()
    assert redis_client.acl_log() == []
    assert len(dom0.calls("migrate")) == 1


DENIED = r"ermission|can't access at least one of the keys"  # the second: Redis 7.0, of a script
ATTACKS: list[tuple[str, Callable[[redis.Redis], Any]]] = [
    ("read another host's report", lambda r: r.get(keys.report("other"))),
    ("write another host's report", lambda r: r.set(keys.report("other"), "x")),
    ("write its own orders", lambda r: r.hset(keys.orders(HOST), "a", "x")),
    ("order a look of itself", lambda r: r.set(keys.look(HOST), 1)),
    ("read another host's orders", lambda r: r.hgetall(keys.orders("other"))),
    ("write another host's orders", lambda r: r.hset(keys.orders("other"), "a", "x")),
    ("write a control record", lambda r: r.hset(keys.control("r1"), "wanted", "run")),
    ("delete a control record", lambda r: r.delete(keys.control("r1"))),
    ("read the list of hosts", lambda r: r.hgetall(keys.hosts)),
    ("push a job to another host", lambda r: r.lpush(f"rq:queue:{queue_name('other')}", "x")),
    ("take a job of another host", lambda r: r.lpop(f"rq:queue:{queue_name('other')}")),
    ("write another host's job", lambda r: r.hset("rq:job:other-a", "data", "x")),
    ("write a host's job whose name begins alike", lambda r: r.hset(f"rq:job:{SLUG}x-a", "d", "x")),
    ("suspend all workers", lambda r: r.set("rq:suspended", 1)),
    ("command another worker", lambda r: r.publish("rq:pubsub:other-1", "x")),
    ("listen to everything", lambda r: raw(r, "PSUBSCRIBE", "*")),
    ("wipe a shared stream", lambda r: r.xadd("xr:events", {"a": "b"}, maxlen=0)),
    ("read the rollouts", lambda r: r.get("xr:rollouts")),
    ("list all keys", lambda r: r.keys("*")),
    ("walk all keys", lambda r: r.scan()),
    ("read the configuration", lambda r: r.config_get("*")),
    ("flush the database", lambda r: r.flushdb()),
    ("flush everything", lambda r: r.flushall()),
    ("read the list of clients", lambda r: r.client_list()),
    ("kill a client", lambda r: raw(r, "CLIENT", "KILL", "TYPE", "normal")),
    ("flush all scripts", lambda r: r.script_flush()),
    ("give itself rights", lambda r: raw(r, "ACL", "SETUSER", "x", "on", "+@all")),
    ("watch every command", lambda r: raw(r, "MONITOR")),
    ("stop the server", lambda r: raw(r, "SHUTDOWN", "NOSAVE")),
    ("copy the database", lambda r: raw(r, "REPLICAOF", "10.0.0.1", "6379")),
    (
        "reach another host from a script",
        lambda r: r.eval("return redis.call('GET', ARGV[1])", 0, keys.report("other")),
    ),
    (
        "write a control record from a script",
        lambda r: r.eval("redis.call('HSET', ARGV[1], 'a', 'b')", 0, keys.control("r1")),
    ),
    (
        "claim for another host",
        lambda r: r.eval(
            CLAIM, 1, keys.claims("other"), "a", "1", "t", keys.control("r1"), keys.orders("other")
        ),
    ),
]


@pytest.mark.parametrize(("attack", "attempt"), ATTACKS, ids=[name for name, _ in ATTACKS])
def test_each_attack_is_denied(
    user: str, redis_client: redis.Redis, attack: str, attempt: Callable[[redis.Redis], Any]
) -> None:
    with redis.Redis.from_url(user, password=PASSWORD) as client:
        client.ping()
        with pytest.raises(redis.ResponseError) as caught:
            attempt(client)
    assert re.search(DENIED, str(caught.value))


def test_what_a_host_needs_is_allowed(user: str, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.control("r1"), mapping={"wanted": "run", "epoch": 1})
    redis_client.hset(keys.orders(HOST), "a", order(host=HOST).model_dump_json())
    redis_client.hset(keys.brief(HOST), "a", "1")
    redis_client.set(keys.until(HOST, "a"), "1", px=60_000)
    with redis.Redis.from_url(user, password=PASSWORD) as client:
        claimed = client.eval(
            CLAIM, 1, keys.claims(HOST), "a", "1", "t", keys.control("r1"), keys.orders(HOST)
        )
        assert claimed == b"run"
        client.set(keys.report(HOST), "x")
        client.lpush(keys.wake(HOST), "x")
    assert redis_client.acl_log() == []
