"""The commands against a service over HTTP: the same words, the token's role, exit codes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import redis
import yaml

from agents.keys import keys
from agents.wire import Wanted
from scheduler.service.access import Role
from tests.service_kit import Served, just_begun
from tests.test_cli_rollout import said, xenroll

NO_REDIS = "unix:///nonexistent/redis.sock"
HOSTILE = '<script>alert(1)</script>\x1b[31m"\n: - {x}\u202e'


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def over_http(
    running: Served, *arguments: str, role: Role = Role.VIEWER, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """A command that has no Redis, only the service and a token."""
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN": running.tokens[role], **more}
    return xenroll(NO_REDIS, *arguments, stdin=stdin, **where)


# Reading.


READING = (
    "rollout list",
    "host list",
    "host show h0",
    "guest list",
    "guest list --host h1",
    "guest show g1",
    "rollout moves",
    "inventory show",
    "advisory list",
    "rollout report",
    "rollout status",
)


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_says_the_same_over_http_and_on_redis(
    running: Served, redis_url: str, command: str
) -> None:
    words = command.split()
    there = over_http(running, *words, "-o", "json")
    here = xenroll(redis_url, *words, "-o", "json")
    said(there, 0)
    ages = re.compile(r'"(elapsed_s|took_s|left_s|at)": [^,]*')
    assert ages.sub("", there.stdout) == ages.sub("", here.stdout)
    assert json.loads(there.stdout) is not None
    said(over_http(running, *words), 0)


def test_json_is_the_short_word_for_o_json(running: Served) -> None:
    short = over_http(running, "guest", "list", "--json")
    assert short.stdout == over_http(running, "guest", "list", "-o", "json").stdout
    said(over_http(running, "guest", "list", "-o", "xml"), 2, "xml")


def test_a_wide_table_has_more_columns_and_a_pipe_gets_whole_lines(running: Served) -> None:
    narrow = over_http(running, "guest", "list", COLUMNS="30")
    wide = over_http(running, "guest", "list", "-o", "wide", COLUMNS="30")
    assert "UUID" in wide.stdout and "UUID" not in narrow.stdout
    assert "pvh linux-6.1 x86_64" in narrow.stdout and "…" not in wide.stdout


def test_an_upgrade_is_followed_host_by_host(running: Served) -> None:
    played = running.played
    newer = played.sim.report_of(played.sim.hosts["h1"]).model_copy(
        update={"agent_version": "9.8.7\x1b[2J"}
    )
    played.client.set(keys.report("h1"), newer.model_dump_json())
    versions = {
        row["name"]: row["agent_version"]
        for row in json.loads(over_http(running, "host", "list", "-o", "json").stdout)
    }
    assert versions["h1"].startswith("9.8.7") and versions["h0"] not in ("", versions["h1"])
    wide = over_http(running, "host", "list", "-o", "wide")
    said(wide, 0, "AGENT", "9.8.7\\x1b")
    said(over_http(running, "host", "show", "h1"), 0, "by agent 9.8.7\\x1b")


def test_a_hostile_guest_name_is_harmless_in_every_format(running: Served) -> None:
    played = running.played
    report = played.sim.report_of(played.sim.hosts["h0"])
    named = report.guests[0].model_copy(update={"name": HOSTILE, "guest_class": HOSTILE})
    changed = report.model_copy(update={"guests": (named,), "trouble": (HOSTILE,)})
    played.client.set(keys.report("h0"), changed.model_dump_json())
    for words in (["guest", "list", "--host", "h0"], ["host", "list"], ["guest", "show", HOSTILE]):
        for form in ("table", "wide", "json", "yaml"):
            answer = over_http(running, *words, "-o", form)
            said(answer, 0, "alert(1)")
            assert "\x1b" not in answer.stdout and "\u202e" not in answer.stdout, (words, form)
            if form == "table":
                assert "\\x1b[31m" in answer.stdout and "\\x0a" in answer.stdout
            if form == "json":
                rows = json.loads(answer.stdout)
            if form == "yaml":
                assert yaml.safe_load(answer.stdout) == rows or words[0] == "host"
    assert rows[0]["name"] == HOSTILE


# Changing.


def test_pause_resume_and_abort_need_the_role_and_are_written_down(running: Served) -> None:
    control = running.played.store.control
    said(over_http(running, "rollout", "pause"), 7, "role on-call", "t-viewer")
    assert control("xsa-1")["wanted"] == Wanted.RUN
    for action, wanted in (("pause", "pause"), ("resume", "run"), ("abort", "abort")):
        words = ["rollout", action, "xsa-1", "--reason", f"to {action}"]
        said(over_http(running, *words, role=Role.ON_CALL), 0, "rollout xsa-1", action)
        assert control("xsa-1")["wanted"] == wanted
        assert (control("xsa-1")["by"], control("xsa-1")["reason"]) == (
            "t-on-call",
            f"to {action}",
        )
    again = over_http(running, "rollout", "resume", role=Role.ON_CALL)
    said(again, 1, "cannot be taken back")


def test_a_change_straight_in_redis_stands_in_the_audit_trail_too(
    running: Served, redis_url: str, tmp_path: Path
) -> None:
    as_anna = {"SUDO_USER": "anna"}
    (tmp_path / "inventory.json").write_bytes(running.played.store.inventory() or b"")
    for words in (
        ["rollout", "pause", "--reason", "lunch"],
        ["inventory", "apply", str(tmp_path / "inventory.json"), "--reason", "a new rack"],
        ["advisory", "add", "XSA-2", "--fixed-version", ">=4.17.8"],
        ["host", "enroll", "h0", "--output", str(tmp_path / "h0"), "--reason", "new"],
        ["host", "withdraw", "h0"],
        ["token", "create", "bert"],
    ):
        said(xenroll(redis_url, *words, **as_anna), 0)
    trail = running.get("/audit", Role.ADMIN).json()["items"][::-1]
    assert [(one["who"], one["action"], one["target"]) for one in trail] == [
        ("anna", "pause", "xsa-1"),
        ("anna", "inventory.apply", "4 hosts"),
        ("anna", "advisory.put", "XSA-2"),
        ("anna", "host.enroll", "h0"),
        ("anna", "host.withdraw", "h0"),
        ("anna", "token.create", "bert (viewer, 90 days)"),
    ]
    assert [one["reason"] for one in trail[:2]] == ["lunch", "a new rack"]
    assert all(one["request_id"].startswith("cli-") for one in trail)


def test_inventories_and_advisories_are_put_over_http_by_who_may(
    running: Served, tmp_path: Path
) -> None:
    good = '{"hosts": [{"name": "h0"}, {"name": "h1"}]}'
    apply = ["inventory", "apply", "-"]
    said(over_http(running, *apply, role=Role.SECURITY, stdin=good), 7, "role admin")
    said(over_http(running, *apply, role=Role.ADMIN, stdin=good), 0, "2 hosts")
    assert len(json.loads(over_http(running, "host", "list", "--json").stdout)) == 2
    add = ["advisory", "add", "XSA-7", "--title", "such"]
    said(over_http(running, *add, role=Role.ON_CALL), 7, "role security")
    said(over_http(running, *add, role=Role.SECURITY), 0, "XSA-7 kept")
    file = tmp_path / "more.yaml"
    file.write_text("- id: XSA-7\n  fixed_version: '>=4.17.8'\n")
    said(over_http(running, "advisory", "import", str(file), role=Role.SECURITY), 0, "1 advisories")
    shown = json.loads(over_http(running, "advisory", "show", "XSA-7", "--json").stdout)
    assert (shown["title"], shown["fixed_version"]) == ("such", ">=4.17.8")


def test_an_inventory_of_thousands_of_guests_is_not_too_long(running: Served) -> None:
    guests = [{"name": f"guest-{n:05}", "owner": "somebody@example.net"} for n in range(12_000)]
    raw = json.dumps({"hosts": [{"name": "h0"}], "guests": guests})
    words = ["inventory", "apply", "-"]
    said(over_http(running, *words, role=Role.ADMIN, stdin=raw), 0, "12000 guests")


# Being refused.


def test_each_way_to_be_refused_has_its_exit_code(running: Served) -> None:
    said(over_http(running, "rollout", "list", XENROLL_TOKEN="xr_00000000_" + "0" * 64), 7)
    said(over_http(running, "host", "show", "h9"), 8, "no host h9")
    said(over_http(running, "guest", "show", "a/../b\nc"), 8, "guest a/../b\\x0ac")
    said(over_http(running, "rollout", "resume", role=Role.ON_CALL), 1, "nothing to resume")
    bad = ["rollout", "start", "XSA-1", "--fixed-build", "nothex"]
    said(over_http(running, *bad, role=Role.SECURITY), 2, "fixed_builds")


def test_a_service_that_is_away_or_is_another_program_is_named(tmp_path: Path) -> None:
    token = {"XENROLL_TOKEN": "xr_x"}
    with socket.socket() as deaf:  # a port that nobody else gets, where nobody listens
        deaf.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        for server in (closed, f"unix:{tmp_path}/web.sock"):
            said(xenroll(NO_REDIS, "rollout", "list", "--server", server, **token), 6, server)

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if "host" in self.path else 502)
            self.send_header("Location", "https://elsewhere.example/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{other.server_port}"
        for words in (["rollout", "list"], ["host", "list"]):
            answer = xenroll(NO_REDIS, *words, "--server", url, **token)
            said(answer, 6, url, "is it the address?")
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


def test_a_token_is_never_sent_unencrypted_to_another_machine() -> None:
    for server in ("http://xenroll.example", "http://192.0.2.1:8470"):
        answer = xenroll(NO_REDIS, "host", "list", XENROLL_SERVER=server, XENROLL_TOKEN="x")
        said(answer, 2, "use https")
    for server in ("xenroll.example", "ftp://xenroll.example", "https://"):
        answer = xenroll(NO_REDIS, "host", "list", XENROLL_SERVER=server, XENROLL_TOKEN="x")
        said(answer, 2, "expected https://HOST")


def test_a_token_file_that_others_may_read_is_refused(running: Served, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(running.tokens[Role.VIEWER] + "\n")
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN_FILE": str(file)}
    file.chmod(0o640)
    said(xenroll(NO_REDIS, "rollout", "list", **where), 2, str(file), "0640", "chmod 600")
    file.chmod(0o600)
    said(xenroll(NO_REDIS, "rollout", "list", **where), 0, "xsa-1")
    file.unlink()
    said(xenroll(NO_REDIS, "rollout", "list", **where), 7, str(file), "XENROLL_TOKEN")
