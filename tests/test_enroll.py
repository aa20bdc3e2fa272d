"""Enrolling a host: a user of its own on the server, and files that nobody else can read."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from agents.keys import keys
from agents.settings import load
from scheduler.enroll import EnrollError, enroll, settings_text
from tests.test_cli_rollout import said, xenroll


def client_as(files: Path) -> redis.Redis:
    """What the host's agent connects with: nothing but its two files."""
    facts = tomllib.loads((files / "agent.toml").read_text())
    password = (files / "redis-password").read_text().strip()
    return redis.Redis.from_url(facts["redis_url"], password=password)


def test_an_enrolled_host_reaches_its_own_keys_and_no_others(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    files = tmp_path / "rack-1.n1"
    result = xenroll(redis_url, "host", "enroll", "rack-1.n1", "--output", str(files))
    said(result, 0, "agent-rack_2d_1_2e_n1", "agent.toml", "no aclfile")
    assert stat.S_IMODE((files / "redis-password").stat().st_mode) == 0o600
    assert (files / "redis-password").read_text().strip() not in result.stdout
    with client_as(files) as host:
        host.set(keys.report("rack-1.n1"), "a report")
        with pytest.raises(NoPermissionError):
            host.set(keys.report("rack-1.n2"), "a forged report")
        with pytest.raises(NoPermissionError):
            host.flushall()
        with pytest.raises(NoPermissionError):
            host.hset("xr:control:xsa-1", "wanted", "run")


def test_a_host_may_see_the_server_at_another_address_than_we(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    words = ("host", "enroll", "h2", "--output", str(tmp_path / "h2"), "--server")
    said(xenroll(redis_url, *words, "10.0.2.100:6379"), 2, "expected redis://")
    assert not (tmp_path / "h2").exists()
    said(xenroll(redis_url, *words, "redis://10.0.2.100:6379/0"), 0)
    told = load(tmp_path / "h2" / "agent.toml")
    assert told.redis_url == "redis://agent-h2@10.0.2.100:6379/0"


class Older(redis.Redis):
    """A client of a server that knows no CLIENT SETINFO, in the words of Redis 7.0.15."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if "+client|setinfo" in args:
            raise ResponseError(
                "Error in ACL SETUSER modifier '+client|setinfo': "
                "Unknown command or category name in ACL"
            )
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def test_a_server_older_than_7_2_takes_hosts_too(redis_url: str, tmp_path: Path) -> None:
    with Older.from_url(redis_url) as older:
        made = enroll(older, redis_url, "h1", tmp_path / "h1")
    assert made.user == "agent-h1"
    with client_as(tmp_path / "h1") as host:
        assert host.ping()
        with pytest.raises(NoPermissionError):
            host.flushall()


def test_a_host_can_enroll_nobody(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    enroll(redis_client, redis_url, "h1", tmp_path / "h1")
    with client_as(tmp_path / "h1") as host, pytest.raises(EnrollError, match="no permissions"):
        enroll(host, redis_url, "h2", tmp_path / "h2")
    assert not (tmp_path / "h2" / "redis-password").exists()


def test_a_second_enrolment_ends_the_first_password(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        said(xenroll(redis_url, "host", "enroll", "h1", "--output", str(tmp_path / folder)), 0)
    with client_as(tmp_path / "one") as old, pytest.raises(AuthenticationError):
        old.ping()
    with client_as(tmp_path / "two") as new:
        assert new.ping()


def test_a_withdrawn_host_is_out(redis_client: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    said(xenroll(redis_url, "host", "withdraw", "gone"), 8, "no user of host gone")
    said(xenroll(redis_url, "host", "enroll", "gone", "--output", str(tmp_path / "gone")), 0)
    said(xenroll(redis_url, "host", "withdraw", "gone"), 0)
    with client_as(tmp_path / "gone") as host, pytest.raises(AuthenticationError):
        host.ping()


def test_what_is_no_name_or_no_folder_is_refused(redis_url: str, tmp_path: Path) -> None:
    said(xenroll(redis_url, "host", "enroll", "bad\nname"), 2, "no name of a host")
    (tmp_path / "file").write_text("")
    result = xenroll(redis_url, "host", "enroll", "h1", "--output", str(tmp_path / "file"))
    said(result, 1, "h1 was not enrolled")


def test_the_settings_are_ones_that_an_agent_takes_and_hold_no_password(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(settings_text('xen "7"', "rediss://admin:secret@redis.example.org:6380/2"))
    assert "secret" not in file.read_text()
    facts = tomllib.loads(file.read_text())
    assert facts["host"] == 'xen "7"'
    assert facts["redis_url"] == "rediss://agent-xen_20__22_7_22_@redis.example.org:6380/2"
    assert load(file).host == 'xen "7"'
