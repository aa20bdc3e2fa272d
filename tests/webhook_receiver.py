"""A receiver of webhooks on a port of its own that answers what it is told to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """One request as it came; `at_s` by the monotonic clock."""

    path: str
    headers: dict[str, str]  # names in small letters
    body: bytes


@dataclass
class Receiver:
    """What came, and what will be answered: the next of `answers`, else 204.

    An answer is a status, a status with headers, or `hang`: nothing until `let_go`.
    """

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]] | str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    trickle_s: float = 0.0

    def ids(self) -> list[str]:
        """The ids of the messages, in the order in which they came."""
        return [one.headers["webhook-id"] for one in self.got]


class _Server(ThreadingHTTPServer):
    def __init__(self, receiver: Receiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.got.append(Got(self.path, headers, body))
        answer = receiver.answers.pop(0) if receiver.answers else 204
        if isinstance(answer, str):
            receiver.held.set()
            receiver.let_go.wait(60)
            answer = 204
        with contextlib.suppress(OSError):  # who asked has hung up
            self._answer(*(answer if isinstance(answer, tuple) else (answer, {})))

    do_GET = do_POST

    def _answer(self, status: int, more: dict[str, str]) -> None:
        trickle_s = self.server.receiver.trickle_s
        for _ in range(200 if trickle_s else 0):
            self.wfile.write(b"H")
            time.sleep(trickle_s)
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(b"what the receiver says is nobody's business")

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver until the end of the block."""
    made = Receiver()
    server = _Server(made)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook?a=b"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        made.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
