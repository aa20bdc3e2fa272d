"""Requests that two programs may read differently: none of them acts, or hides another one."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
import redis

from agents.wire import Wanted
from scheduler.service.access import Role
from tests.service_kit import Served, just_begun

BODY = b'{"reason": "a test"}'
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
FRAMES = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": b"Content-Length: 20\r\nContent-Length: 3\r\n\r\n" + BODY,
    "a length with a sign": b"Content-Length: +20\r\n\r\n" + BODY,
    "an encoding that is none": b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "a space before the colon": b"Content-Length : 20\r\n\r\n" + BODY,
}


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def answers(running: Served, rest: bytes) -> list[str]:
    """The status of each answer to a pause that goes on like this, until the connection ends."""
    port = int(running.url.rpartition(":")[2])
    head = (
        "POST /api/v1/rollouts/xsa-1/actions/pause HTTP/1.1\r\nHost: x\r\n"
        "Idempotency-Key: on-the-wire\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {running.tokens[Role.ON_CALL]}\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(head.encode() + rest)
        got = b""
        while more := line.recv(65536):
            got += more
    return [status.decode() for status in re.findall(rb"HTTP/1\.1 (\d+)", got)]


@pytest.mark.parametrize("what", FRAMES)
def test_a_request_whose_end_is_in_doubt_is_refused_with_its_connection(
    running: Served, what: str
) -> None:
    assert answers(running, FRAMES[what]) == ["400"]
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


def test_a_body_in_chunks_acts_as_any_other(running: Served) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    rest = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunk
    assert answers(running, rest) == ["202"]
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.PAUSE
