"""What deploy/install.md has people do to the server: done as it is written, in another place."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.exceptions import AuthenticationError, ConnectionError, RedisError

from scheduler.embedded import die_with_parent, server_program
from tests.test_cli_rollout import said, xenroll
from tests.test_enroll import client_as
from tests.waiting import until

PLACE, FILES = "/var/lib/redis/xenroll", "/etc/xenroll"


@dataclass(frozen=True)
class Installed:
    """A server's configuration and users, as the page makes them, below one folder."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    def url(self, user: str = "") -> str:
        return f"unix://{user}{self.socket}"

    def control(self) -> str:
        """The address that control nodes are told, by this server's socket."""
        text = (self.folder / "etc/controller.env").read_text()
        found = re.fullmatch(r"XENROLL_REDIS_URL=redis://(control:\S+@)127\.0\.0\.1:6379/0\n", text)
        assert found, text
        return self.url(found[1])

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server with its configuration, until it is asked to end as systemd asks it."""
        argv = [server_program(), "server.conf", "--port", "0", "--unixsocket", str(self.socket)]
        quiet, parent = subprocess.DEVNULL, die_with_parent(os.getpid())
        with subprocess.Popen(argv, cwd=self.folder, stdout=quiet, preexec_fn=parent) as server:
            until(lambda: self._answers() or server.poll() is not None, "the server")
            yield
            server.terminate()

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.control()) as client:
                return bool(client.ping())
        except ConnectionError:
            return False


@pytest.fixture
def installed(repository: Path, tmp_path: Path) -> Installed:
    """The page's own commands and the configuration that it names, with our folders in them."""
    page = (repository / "deploy/install.md").read_text()
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block
    (tmp_path / "lib").mkdir()
    script = block[1].replace(PLACE, f"{tmp_path}/lib").replace(FILES, f"{tmp_path}/etc")
    subprocess.run(["sh", "-e", "-u", "-c", script], check=True)
    rules = (repository / "deploy/redis/redis.conf").read_text()
    (tmp_path / "server.conf").write_text(rules.replace(PLACE, f"{tmp_path}/lib"))
    return Installed(tmp_path)


def test_nobody_uses_the_server_without_a_password(installed: Installed) -> None:
    with installed.running():
        with redis.Redis.from_url(installed.url()) as anybody, pytest.raises(RedisError):
            anybody.ping()
        wrong = installed.url("control:guessed@")
        with redis.Redis.from_url(wrong) as guest, pytest.raises(AuthenticationError):
            guest.ping()
    assert (installed.folder / "etc/controller.env").stat().st_mode & 0o077 == 0


def test_hosts_and_what_was_written_are_known_after_a_restart(installed: Installed) -> None:
    words = ("host", "enroll", "h1", "--output", str(installed.folder / "h1"))
    with installed.running():
        result = xenroll(installed.control(), *words)
        said(result, 0, "h1 is enrolled as the Redis user agent-h1")
        assert "aclfile" not in result.stdout
        with client_as(installed.folder / "h1") as host:
            host.set("xr:host:h1:report", "a report")
    with installed.running(), client_as(installed.folder / "h1") as host:
        assert host.get("xr:host:h1:report") == b"a report"
