"""The service as a process: listens, says where, ends on SIGTERM with its connections."""

from __future__ import annotations

import logging
import os
import signal
import socket as sockets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from scheduler.serve import log
from scheduler.service.app import make_app
from scheduler.service.forecaster_process import ForecasterProcess
from scheduler.service.local import service_of
from scheduler.service.memory import Tidy
from scheduler.settings import Settings
from scheduler.veil import VeiledLog

ENDING_S = 3
"""Live feeds never end by themselves: they are cut off after this, and come back elsewhere."""


class ListenError(Exception):
    """It cannot listen there; the message says where and why."""


@dataclass(frozen=True)
class Listen:
    """Where to listen."""

    host: str
    port: int
    unix: str | None
    behind_proxy: str
    tls_cert: Path | None
    tls_key: Path | None

    @classmethod
    def parse(
        cls, text: str, behind_proxy: str, tls_cert: Path | None, tls_key: Path | None
    ) -> Listen:
        """`127.0.0.1:8470`, `[::1]:8470`, `unix:/run/xenroll/web.sock`. Raises ListenError."""
        scheme, _, path = text.partition(":")
        if scheme == "unix" and path:
            return cls("", 0, path, behind_proxy, tls_cert, tls_key)
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ListenError(f"--listen {text}: expected ADDRESS:PORT or unix:PATH")
        return cls(host.strip("[]"), int(port), None, behind_proxy, tls_cert, tls_key)

    def listen(self) -> sockets.socket:
        """A socket that listens. Raises ListenError."""
        try:
            if self.unix is not None:
                return self._unix_socket(self.unix)
            family = sockets.AF_INET6 if ":" in self.host else sockets.AF_INET
            return sockets.create_server((self.host, self.port), family=family, backlog=1024)
        except OSError as error:
            where = self.unix or f"{self.host}:{self.port}"
            raise ListenError(f"cannot listen on {where}: {error.strerror}") from None

    @staticmethod
    def _unix_socket(path: str) -> sockets.socket:
        """A fresh one in the place of one that a dead process left."""
        made = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        if Path(path).is_socket() and made.connect_ex(path) != 0:
            Path(path).unlink()
        made.close()
        made = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        made.bind(path)
        os.chmod(path, 0o660)
        made.listen(1024)
        return made

    def url(self, listening: sockets.socket) -> str:
        """The address for a browser, or the socket's path."""
        if self.unix is not None:
            return f"unix:{self.unix}"
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{listening.getsockname()[1]}"


class _Lines(logging.Handler):
    """What the server's own library says goes into the log line by line, as all else does."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._write(line)


def _to_log(write: Callable[[str], None]) -> None:
    logging.getLogger("uvicorn").handlers = [_Lines(write)]
    logging.getLogger("uvicorn").propagate = False


def run(settings: Settings, where: Listen) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises ListenError, Away."""
    service = service_of(settings, "web", oidc=settings.oidc, foretells=ForecasterProcess())
    listening = where.listen()
    _to_log(VeiledLog(log, service.store, service.clock.now))
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        forwarded_allow_ips=where.behind_proxy,
        ssl_certfile=where.tls_cert,
        ssl_keyfile=where.tls_key,
        timeout_graceful_shutdown=ENDING_S,
    )
    log(f"the service listens on {where.url(listening)}")
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn ends on these by its own handlers, then raises them again for whoever was before.
        signal.signal(number, lambda *_: None)
    tidy = Tidy()
    tidy.start()
    uvicorn.Server(config).run(sockets=[listening])
    tidy.stop()
    log("the service ended")
    return 0
