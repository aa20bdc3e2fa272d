"""One HTTP request to a configured address: no redirect is followed, no proxy is used."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from scheduler.notify.targets import Ready

MOST_RETRY_AFTER_S = 900.0
AGAIN = frozenset({408, 425, 429})
"""Refusals that are meant for now."""


@dataclass(frozen=True)
class Answer:
    """What came back. `said` is for people: a status or a cause, nothing of what the body held."""

    status: int | None  # None: no answer
    said: str
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def final(self) -> bool:
        """Whether sending the same again is of no use."""
        return self.status is not None and 300 <= self.status < 500 and self.status not in AGAIN


def post(ready: Ready, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send it once; raises nothing that the network can cause."""
    parts = urlsplit(ready.url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        with _connection(ready, parts.hostname or "", parts.port) as connection:
            connection.request("POST", path, body, dict(headers))
            return _answer(connection.getresponse())
    except ssl.SSLError as error:
        return Answer(None, f"TLS: {error.reason or 'failed'}")
    except TimeoutError:
        return Answer(None, f"no answer within {ready.target.timeout_s:g} s")
    except http.client.HTTPException as error:
        return Answer(None, f"no HTTP answer ({type(error).__name__})")
    except OSError as error:
        return Answer(None, error.strerror or type(error).__name__)


@contextlib.contextmanager
def _connection(ready: Ready, host: str, port: int | None) -> Iterator[http.client.HTTPConnection]:
    """A connection that is cut when its time is up, however slowly the other side answers."""
    limit_s = ready.target.timeout_s
    made: http.client.HTTPConnection
    if ready.url.startswith("https:"):
        made = http.client.HTTPSConnection(
            host, port, timeout=limit_s, context=ssl.create_default_context(cafile=_ca(ready))
        )
    else:
        made = http.client.HTTPConnection(host, port, timeout=limit_s)
    cut = threading.Event()

    def end() -> None:
        cut.set()
        if made.sock is not None:
            with contextlib.suppress(OSError):  # it ended by itself meanwhile
                made.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield made
    except (OSError, http.client.HTTPException):
        if cut.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        made.close()


def _ca(ready: Ready) -> str | None:
    return str(ready.target.ca_file) if ready.target.ca_file else None


def _answer(got: http.client.HTTPResponse) -> Answer:
    said = f"HTTP {got.status}"
    if 300 <= got.status < 400:
        said += " (a redirect, which is not followed)"
    after = got.getheader("retry-after", "")
    wait_s = min(float(after), MOST_RETRY_AFTER_S) if after.isdecimal() else None
    return Answer(got.status, said, wait_s)
