"""Enrolling a host: a Redis user that reaches its own keys alone, and the files to put there."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import redis
from redis.exceptions import ResponseError

from scheduler.host_acl import rules, user

SETTINGS_FILE = "agent.toml"
PASSWORD_FILE = "redis-password"

SETTINGS = """\
# Put this into /etc/xenroll/agent.toml on {host}; deploy/systemd/xenroll-agent.example.toml
# shows everything else that an agent can be told.
host = {quoted}
redis_url = "{url}"
redis_password_file = "/etc/xenroll/redis-password"
"""


class EnrollError(Exception):
    """A host could not be enrolled; nothing is left half done."""


@dataclass(frozen=True)
class Enrolled:
    """What a host needs to reach the server as itself."""

    host: str
    user: str
    settings: Path
    password: Path
    kept: bool  # whether the server will know the user after its restart


def enroll(client: redis.Redis, url: str, host: str, directory: Path) -> Enrolled:
    """Make the user with a new password, and write the host's two files.

    An enrolment again replaces the password: the old one ends at once. Raises EnrollError.
    """
    password = secrets.token_urlsafe(32)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        settings = directory / SETTINGS_FILE
        settings.write_text(settings_text(host, url))
        secret = _write_secret(directory / PASSWORD_FILE, password)
    except OSError as error:
        raise EnrollError(f"{error.filename}: {error.strerror}") from None
    try:
        set_user(client, host, password)
    except ResponseError as error:
        secret.unlink()
        raise EnrollError(f"the server refuses the user: {error}") from None
    return Enrolled(host, user(host), settings, secret, _keep(client))


def set_user(client: redis.Redis, host: str, password: str) -> None:
    """Make a host's user, or make it anew. Raises ResponseError; then nothing has changed."""
    try:
        _acl(client, "SETUSER", user(host), "reset", *rules(host, password))
    except ResponseError as newest:
        try:
            _acl(client, "SETUSER", user(host), "reset", *rules(host, password, before_7_2=True))
        except ResponseError:
            raise newest from None


def withdraw(client: redis.Redis, host: str) -> bool:
    """Take a host's user away; its connections end. False if there was none."""
    gone = bool(_acl(client, "DELUSER", user(host)))
    _keep(client)
    return gone


def settings_text(host: str, url: str) -> str:
    """The agent's settings: the server's address with the host's own user, without a password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    own = urlunsplit(parts._replace(netloc=f"{quote(user(host))}@{place}"))
    if parts.scheme == "unix":
        own = f"unix://{quote(user(host))}@{parts.path}"
    quoted = '"' + host.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return SETTINGS.format(host=host, quoted=quoted, url=own)


def _write_secret(path: Path, password: str) -> Path:
    """A file that only its owner may read, from its first moment on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password + "\n")
    return path


def _acl(client: redis.Redis, *words: str) -> object:
    """An ACL command word by word: redis-py's own method knows no selectors."""
    return client.execute_command("ACL", *words)  # type: ignore[no-untyped-call]


def _keep(client: redis.Redis) -> bool:
    """Write the users to the server's ACL file, where it has one."""
    try:
        _acl(client, "SAVE")
    except ResponseError:
        return False
    return True
