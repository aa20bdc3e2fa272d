"""The dashboard of a run: on this machine alone, at one address for the whole of the run."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis

from scheduler.demo.services import Service
from scheduler.service.access import Role
from scheduler.service.links import make_link

ADDRESS, PORT = "127.0.0.1", 8470
MANY_STARTS = 10
"""One that ends so often is left down: the rollout does not need it."""


class Web(Service):
    """`xenroll serve`, beside the fleet."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port(PORT)
        listen = f"{ADDRESS}:{self.port}"
        super().__init__(
            "web", ["-m", "scheduler", "serve", "--listen", listen], log, dict(environment)
        )

    @property
    def url(self) -> str:
        """Where it answers once it is up."""
        return f"http://{ADDRESS}:{self.port}"

    def keep_up(self) -> None:
        """Start it again if it has ended, but not for ever."""
        if self.starts < MANY_STARTS:
            super().keep_up()

    def link(self, client: redis.Redis) -> str:
        """A link that logs one browser in, once; the simulated fleet is all theirs."""
        now = datetime.now(UTC)
        lasts = timedelta(days=1)
        code = make_link(client, os.urandom, "demo", Role.ADMIN, "make run", now, lasts)
        return f"{self.url}/login#{code}"


def free_port(preferred: int) -> int:
    """This port if nobody has it, else any that is free now."""
    for port in (preferred, 0):
        try:
            with socket.create_server((ADDRESS, port)) as tried:
                return int(tried.getsockname()[1])
        except OSError:
            continue
    raise OSError(f"no port of {ADDRESS} is free")
