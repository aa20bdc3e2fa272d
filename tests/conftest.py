"""A real server for every test that needs one: started once, emptied before each test."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from scheduler.embedded import EmbeddedServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and with them every
    # program that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a test's agent logs to is that test's stderr: nobody writes there after it."""
    level = logging.root.level
    yield
    own = [one for one in logging.root.handlers if type(one) is logging.StreamHandler]
    for handler in own:
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server of this test run's own, whatever the machine has or is configured for."""
    server = EmbeddedServer(tmp_path_factory.mktemp("valkey") / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: EmbeddedServer) -> str:
    """The URL of an empty server."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of an empty server; replies are bytes, as RQ wants them."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease of who is made to act by hand must not run out under it."""
    monkeypatch.setattr("scheduler.lease.LEASE_MS", 600_000)


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
