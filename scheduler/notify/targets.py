"""Who is told, and how: the notification file (TOML) of a control node.

    dashboard_url = "https://xenroll.example.net"

    [[target]]
    name = "on-call"
    kind = "json"                               # or "alertmanager", "slack"
    url = "https://hooks.example.net/xenroll"   # or url_file, where the address is a secret
    secret_file = "/etc/xenroll/on-call.secret"
    severity = "warning"                        # the least that is told; default
    kinds = []                                  # only these kinds of events; empty: all
    owners = []                                 # only events of these owners' guests; "*": of any

Secrets stand in files of their own, which only their owner (and group) may read. An address is
never taken from anywhere else, so nobody who can reach the API can make xenroll call one.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import stat
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scheduler.notify.event import Event, Severity

LEAST_SECRET_BYTES = 16


class TargetError(Exception):
    """The notification file cannot be used; each problem names file and field, never a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TargetKind(StrEnum):
    """The form of the message."""

    JSON = "json"  # our own, signed
    ALERTMANAGER = "alertmanager"  # its API v2; `url` ends with /api/v2/alerts
    SLACK = "slack"  # an incoming webhook of Slack, Mattermost, Rocket.Chat, Zulip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Part):
    """One receiver."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    kind: TargetKind = TargetKind.JSON
    url: str | None = None
    url_file: Path | None = None
    secret_file: Path | None = None
    old_secret_file: Path | None = None  # signs too while receivers change to the new one
    authorization_file: Path | None = None  # the value of an Authorization header
    ca_file: Path | None = None  # of a receiver whose certificate no public authority signed
    plain_http: bool = False  # without TLS to another machine: others on the way can read it
    severity: Severity = Severity.WARNING
    kinds: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    give_up_s: float = Field(default=6 * 3600.0, gt=0)  # so old is a message when it is dead

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give either url or url_file")
        return self

    def wants(self, event: Event) -> bool:
        """Whether this event is for it."""
        if self.kinds and event.kind not in self.kinds:
            return False
        if self.owners and not (event.owner and self.owners & {event.owner, "*"}):
            return False
        return bool(self.kinds) or event.severity.reaches(self.severity)


class Config(_Part):
    """The whole file."""

    dashboard_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    target: tuple[Target, ...] = ()

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [one.name for one in self.target]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"target {twice[0]} is there twice")
        return self


@dataclass(frozen=True)
class Ready:
    """A target with what its files hold."""

    target: Target
    url: str = field(repr=False)  # may be a secret: a chat's address lets anybody write there
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The target's name."""
        return self.target.name

    @property
    def where(self) -> str:
        """The machine that is called; all that anybody is shown of the address."""
        return urlsplit(self.url).hostname or ""


def load_config(file: Path) -> tuple[Config, list[Ready]]:
    """The file and every secret it names. Raises TargetError."""
    try:
        with file.open("rb") as opened:
            config = Config.model_validate(tomllib.load(opened))
    except OSError as error:
        raise TargetError([f"{file}: cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError([f"{file}: is not TOML: {error}"]) from None
    except ValidationError as error:
        raise TargetError([_problem(file, dict(one)) for one in error.errors()[:20]]) from None
    return config, [_ready(file, one) for one in config.target]


def _problem(file: Path, error: dict[str, object]) -> str:
    where = error["loc"]
    path = ".".join(map(str, where)) if isinstance(where, tuple) else ""
    return f"{file}: {path or 'file'}: {error['msg']}"


def _ready(file: Path, target: Target) -> Ready:
    about = f"{file}: target {target.name}"
    url = target.url if target.url is not None else _secret(about, "url_file", target.url_file)
    wrong = wrong_address(url, target.plain_http)
    if wrong:
        raise TargetError([f"{about}: {wrong}"])
    files = {"secret_file": target.secret_file, "old_secret_file": target.old_secret_file}
    given = [(name, one) for name, one in files.items() if one]
    secrets = tuple(_key(about, name, _secret(about, name, one)) for name, one in given)
    header = target.authorization_file
    authorization = _secret(about, "authorization_file", header) if header else None
    if authorization and not (authorization.isascii() and authorization.isprintable()):
        raise TargetError([f"{about}: authorization_file: expected one line of ASCII"])
    return Ready(target, url, secrets, authorization)


def wrong_address(url: str, plain_http: bool) -> str:
    """Why nothing is sent to this address; empty: it is one to send to. Never says the address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "its address is none"
    if parts.scheme not in ("https", "http") or not host or not _simple(url):
        return "its address is none: expected https://HOST/PATH"
    if parts.username is not None or parts.fragment:
        return "its address holds a user or a fragment: use authorization_file"
    if parts.scheme == "http" and not (plain_http or _on_this_machine(host)):
        return "its address is http:// on another machine: use https://, or set plain_http"
    return ""


def _simple(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(about: str, name: str, file: Path | None) -> str:
    assert file is not None  # the caller asks only where there is one
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o007:
            raise TargetError([f"{about}: {name} {file}: everybody can read it: chmod 640"])
        text = file.read_text().strip()
    except OSError as error:
        raise TargetError([f"{about}: {name} {file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise TargetError([f"{about}: {name} {file}: expected text"]) from None
    if not text:
        raise TargetError([f"{about}: {name} {file}: is empty"])
    return text


def _key(about: str, name: str, text: str) -> bytes:
    """The bytes of a secret: `whsec_` and base64, as Standard Webhooks has it, or the text."""
    try:
        coded = text.startswith("whsec_")
        key = base64.b64decode(text[6:], validate=True) if coded else text.encode()
    except binascii.Error:
        raise TargetError([f"{about}: {name}: expected base64 after whsec_"]) from None
    if len(key) < LEAST_SECRET_BYTES:
        raise TargetError([f"{about}: {name}: expected at least {LEAST_SECRET_BYTES} bytes"])
    return key
