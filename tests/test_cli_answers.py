"""The commands against whatever may answer at an address, and with whatever may be a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import redis

from agents.wire import Wanted
from scheduler.service.access import Role
from scheduler.show_report import PLANNED_WITH
from tests.service_kit import Served, just_begun
from tests.test_cli_http import NO_REDIS, over_http
from tests.test_cli_rollout import ROOT, said, xenroll

TOKEN = {"XENROLL_TOKEN": "xr_x"}
PROBLEM = "application/problem+json"
OURS = {
    "title": "Conflict",
    "status": 409,
    "code": "ended",
    "detail": "rollout r has ended (done): there is nothing to pause",
    "request_id": "r1",
    "details": [{"name": "state", "message": "done"}],
}
STRANGERS = {
    "a page that wants a login": (200, "text/html", b"<h1>log in first</h1>"),
    "a page that calls itself JSON": (200, "application/json", b"<h1>log in first</h1>"),
    "an empty answer": (200, "application/json", b""),
    "another program's JSON": (200, "application/json", b'{"items": [], "next": null}'),
    "text that is none": (200, "application/json", b'{"items": ["\xff\xfe"], "next": null}'),
    "another program's problem": (403, PROBLEM, b'{"title": "no", "status": 403}'),
    "half a problem": (409, PROBLEM, b'{"title": "Conf'),
    "a proxy whose service is away": (502, "application/json", b'{"error": "bad gateway"}'),
}


@contextmanager
def answering(status: int, kind: str, body: bytes, **headers: str) -> Iterator[str]:
    """The address of a program that answers this to everything."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {"Content-Type": kind, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{other.server_port}"
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


@pytest.mark.parametrize("what", STRANGERS)
def test_what_another_program_says_passes_for_no_pause(what: str) -> None:
    with answering(*STRANGERS[what]) as url:
        words = ("rollout", "pause", "r", "--reason", "a test")
        answer = xenroll(NO_REDIS, *words, "--server", url, **TOKEN)
        said(answer, 6, url, "is it the address?")
        assert answer.stdout == ""


def test_an_answer_that_cannot_be_unpacked_is_none() -> None:
    packed = {"Content-Encoding": "gzip", "X-Request-ID": "r1"}
    with answering(200, "application/json", b"no gzip", **packed) as url:
        said(xenroll(NO_REDIS, "host", "list", "--server", url, **TOKEN), 6, url, "does not answer")


def test_a_refusal_is_read_whatever_charset_a_proxy_adds_and_said_once() -> None:
    with answering(409, f"{PROBLEM}; charset=utf-8", json.dumps(OURS).encode()) as url:
        answer = xenroll(NO_REDIS, "rollout", "pause", "r", "--server", url, **TOKEN)
    said(answer, 1)
    assert answer.stderr == f"xenroll: {OURS['detail']}\n"


def test_a_defect_of_the_service_comes_with_the_id_that_its_log_has() -> None:
    detail = "a defect of xenroll; its log has the request id"
    body = {**OURS, "status": 500, "code": "internal", "detail": detail, "details": []}
    with answering(500, PROBLEM, json.dumps(body).encode()) as url:
        said(xenroll(NO_REDIS, "host", "list", "--server", url, **TOKEN), 5, f"{detail} r1")


@pytest.mark.parametrize("token", ["", " ", "xr_ü", "xr_a\nxr_b", "xr_a b"])
def test_what_cannot_be_a_token_is_said_without_showing_it(token: str) -> None:
    answer = xenroll(
        NO_REDIS, "host", "list", "--server", "http://127.0.0.1:1", XENROLL_TOKEN=token
    )
    said(answer, 7, "XENROLL_TOKEN holds no token")
    assert not token.strip() or token.split()[0] not in answer.stderr


def test_a_token_file_with_something_else_in_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("xr_one\nxr_two\n")
    where = {"XENROLL_TOKEN_FILE": str(file)}
    said(xenroll(NO_REDIS, "host", "list", "--server", "http://127.0.0.1:1", **where), 7, str(file))


def test_an_address_that_is_none_is_bad_input() -> None:
    for server in ("http://[::1", "https://", "http://a:b", "ftp://x", "127.0.0.1:8470"):
        answer = xenroll(NO_REDIS, "host", "list", "--server", server, **TOKEN)
        said(answer, 2, server, "expected https://HOST")


def test_a_name_never_leads_to_another_part_of_the_api(running: Served) -> None:
    rollout = running.played.store.ids()[-1]
    for name in ("../hosts", f"{rollout}?x", f"./{rollout}", ""):
        said(over_http(running, "rollout", "pause", name, role=Role.ON_CALL), 8)
    for noun, name in (("host", ""), ("guest", ".."), ("guest", "../me")):
        said(over_http(running, noun, "show", name), 8)
    assert running.played.store.control(rollout)["wanted"] == Wanted.RUN


def test_a_script_may_say_yes_to_what_never_asks(running: Served) -> None:
    for verb in ("pause", "resume"):
        words = ("rollout", verb, "--yes", "--reason", "a script")
        said(over_http(running, *words, role=Role.ON_CALL), 0)


def test_the_list_of_rollouts_says_who_holds_one_and_why(running: Served) -> None:
    said(over_http(running, "rollout", "pause", "--reason", "lunch", role=Role.ON_CALL), 0)
    running.played.round(running.played.controller())
    said(over_http(running, "rollout", "list"), 0, "t-on-call: lunch")


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_package_that_was_not_installed_is_named() -> None:
    lacks = "import sys; sys.modules['fastapi'] = None; sys.argv = ['xenroll', 'rollout', 'list']; "
    answer = python(f"{lacks} from scheduler import cli; cli.main()")
    assert answer.returncode == 5
    words = "xenroll: the package fastapi is missing: install xenroll[control,web]"
    assert answer.stderr.splitlines() == [words]


def test_what_nobody_foresaw_ends_with_the_code_of_a_defect() -> None:
    answer = python("from scheduler import cli; cli.build = lambda _: 1 / 0; cli.main()")
    assert answer.returncode == 5
    assert answer.stderr.splitlines()[-1].startswith("xenroll: a defect of xenroll: ZeroDivision")


def test_what_a_program_reads_is_not_cut_to_the_width_of_a_terminal(running: Served) -> None:
    report = over_http(running, "rollout", "report", COLUMNS="40")
    said(report, 0, PLANNED_WITH)
    forecast = over_http(running, "rollout", "forecast", COLUMNS="40")
    said(forecast, 0, "reboots: taken to last as long as planned (none has ended yet)\n")


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    answer = xenroll(NO_REDIS, "--version")
    said(answer, 0)
    assert answer.stdout == f"xenroll {project['version']}\n"
