"""Plays an Alertmanager and a Prometheus over HTTP: what they answer, and what they were asked."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Monitor(ThreadingHTTPServer):
    """Plays both servers: what it answers at each path, and what it was asked."""

    daemon_threads = False  # `end` waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []
        self.wait_s = 0.0
        self._ending = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Answer from a thread of its own, until `end`."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        """Answer nobody any more; whoever still waits for an answer is let go."""
        self._ending.set()
        self.shutdown()
        self.server_close()

    def rest(self) -> None:
        """As long as an answer is to take."""
        self._ending.wait(self.wait_s)


class Answering(BaseHTTPRequestHandler):
    server: Monitor

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        token = self.headers.get("Authorization", "")
        self.server.asked.append((parts.path, parse_qs(parts.query), token))
        self.server.rest()
        status, said = self.server.answers.get(parts.path, (404, "not found"))
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        with contextlib.suppress(OSError):  # who asked has hung up
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def alert(name: str, state: str = "active", **labels: str) -> dict[str, Any]:
    """As `GET /api/v2/alerts` gives it."""
    return {
        "annotations": {"summary": "…"},
        "endsAt": "2026-11-22T23:04:00.000Z",
        "fingerprint": "9bdb2c3f5a1d6a3c",
        "receivers": [{"name": "on-call"}],
        "startsAt": "2026-11-22T22:01:00.000Z",
        "status": {"inhibitedBy": [], "silencedBy": [], "state": state},
        "updatedAt": "2026-11-22T23:00:00.000Z",
        "generatorURL": "http://prometheus/graph",
        "labels": {"alertname": name, **labels},
    }
