"""`xenroll serve` and `xenroll token`, as a person calls them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import redis

from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet
from tests.test_cli_rollout import ROOT, said, xenroll


def token(url: str, *arguments: str) -> str:
    result = xenroll(url, "token", "create", *arguments)
    said(result, 0)
    return result.stdout.strip()


def test_a_token_is_made_listed_and_revoked(redis_url: str, redis_client: redis.Redis) -> None:
    text = token(redis_url, "anna", "--role", "on-call", "--days", "7", "--reason", "new here")
    assert re.fullmatch(r"xr_[0-9a-f]{8}_[0-9a-f]{64}", text)
    name = text.split("_")[1]
    said(xenroll(redis_url, "token", "list"), 0, name, "anna", "on-call", "works")
    (row,) = json.loads(xenroll(redis_url, "token", "list", "--json").stdout)
    assert row["id"] == name and "secret_sha256" not in row
    said(xenroll(redis_url, "token", "revoke", name), 0, "anna is revoked")
    said(xenroll(redis_url, "token", "list"), 0, "revoked")
    said(xenroll(redis_url, "token", "revoke", "00000000"), 8, "no token 00000000")
    trail = str(redis_client.xrange("xr:audit"))
    assert "token.create" in trail and "token.revoke" in trail and "new here" in trail
    assert text not in trail


def test_a_login_link_keeps_the_token_behind_the_hash_sign(redis_url: str) -> None:
    link = token(redis_url, "bert", "--link", "https://xenroll.example/")
    assert link.startswith("https://xenroll.example/login#xr_")


def test_bad_names_roles_and_days_are_refused(redis_url: str) -> None:
    said(xenroll(redis_url, "token", "create", "a b"), 2, "a b", "expected")
    said(xenroll(redis_url, "token", "create", "x" * 65), 2, "expected")
    said(xenroll(redis_url, "token", "create", "a", "--role", "root"), 2, "root")
    for days in ("0", "-1", "4000", "nan"):
        said(xenroll(redis_url, "token", "create", "a", f"--days={days}"), 2, "--days")
    assert xenroll(redis_url, "token", "list", "-o", "json").stdout == "[]\n"


def test_an_address_that_cannot_be_had_is_named(redis_url: str, tmp_path: Path) -> None:
    for wrong in ("8470", "localhost:", "localhost:x", "localhost:99999", "unix:"):
        said(xenroll(redis_url, "serve", "--listen", wrong), 2, "--listen", "expected")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        said(xenroll(redis_url, "serve", "--listen", where), 2, where, "in use")
    missing = str(tmp_path / "none.pem")
    said(xenroll(redis_url, "serve", "--tls-cert", missing), 2, "belong together")
    both = ("--tls-cert", missing, "--tls-key", missing)
    said(xenroll(redis_url, "serve", *both), 2, "none.pem", "no such file")
    away = f"unix://{tmp_path}/nothing.sock"
    said(xenroll(away, "serve"), 6, "does not answer")


def test_it_serves_says_where_and_ends_on_sigterm_although_somebody_follows(
    redis_url: str, redis_client: redis.Redis
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    text = token(redis_url, "anna")
    command = [sys.executable, "-m", "scheduler", "serve", "--listen", "127.0.0.1:0"]
    environment = {**os.environ, "XENROLL_REDIS_URL": redis_url}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r"listens on (http://127\.0\.0\.1:\d+)", first)
        assert found, first
        headers = {"Authorization": f"Bearer {text}"}
        hosts = httpx.get(f"{found[1]}/api/v1/hosts", headers=headers, timeout=30)
        assert len(hosts.json()["items"]) == 4
        with httpx.stream(
            "GET", f"{found[1]}/api/v1/events", headers=headers, timeout=30
        ) as follower:
            assert next(follower.iter_lines()).startswith(":")
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert "ended" in rest and "Traceback" not in rest, rest
