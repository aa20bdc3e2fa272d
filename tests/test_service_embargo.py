"""Embargo: the real name is in no output for who may not know it, and in all for who may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from typer.testing import CliRunner

from agents.wire import Wanted
from scheduler.cli import build
from scheduler.gates import HookRun, HookStage
from scheduler.outside import document as hook_document
from scheduler.service.access import Role
from scheduler.service.paging import decode
from scheduler.veil import Veil, hidden
from tests.embargo_kit import ROLLOUT, SECRET, embargoed, rollout_of
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, served, small_fleet
from tests.service_walk import changing, option, over_the_api, readable
from tests.sim import START

CVE_NUMBER = r"(?<![\d.])99999(?!\d)"  # and not the end of a fraction
REAL = re.compile(rf"xsa[-_ ]?470|{CVE_NUMBER}|at will|read .{{0,12}}everything", re.IGNORECASE)


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout for an advisory under embargo, half way."""
    with embargoed(redis_client) as made:
        yield made


VALUES = {
    "rollout_id": ROLLOUT,
    "step_id": "g1-1",
    "generation": "1",
    "test_id": "none",
    "wave": "1",
    "action": "resume",
    "name": "h1",
    "guests/name": "g1",
    "guest-evidence/name": "none",
    "advisories/name": "Silent%20Otter",
    "notifications/name": "hook",
}
"""What the parameters of paths stand for."""


def addresses() -> list[str]:
    """Everything that can be read, found by looking; what has several forms in each of them."""
    report = f"/api/v1/rollouts/{ROLLOUT}/report"
    more = [f"{report}?format={form}" for form in ("md", "html")]
    newest = f"/api/v1/rollouts/{ROLLOUT}/events?newest=true"
    return [*readable(VALUES), *more, newest]


def told(answer: httpx.Response) -> str:
    """Everything of an answer that leaves the service, with cursors taken apart."""
    cursors = [decode(one) for one in re.findall(r'"next": ?"([^"]+)"', answer.text)]
    return f"{answer.status_code} {answer.headers} {answer.text} {cursors}"


def outputs(running: Served, role: Role) -> dict[str, str]:
    """Address -> what this role gets there, to read and as answers to what it asks for."""
    found = {}
    with httpx.Client(base_url=running.url, timeout=60) as client:
        client.post("/login", data={"token": running.tokens[role]})
        for path in addresses():
            accept = {"Accept": "text/html" if not path.startswith("/api") else "*/*"}
            found[path] = told(client.get(path, headers=accept))
            if path.startswith("/api") and "?" not in path:
                found[f"{path} limit"] = told(client.get(f"{path}?limit=1"))
    with running.client(role, **{"Idempotency-Key": "embargo-key"}) as client:
        for method, path in changing(VALUES):
            found[f"{method} {path}"] = told(client.request(method, running.url + path, json={}))
    return found


def test_who_may_not_know_finds_the_real_name_nowhere(running: Served) -> None:
    for role in (Role.VIEWER, Role.ON_CALL):
        found = outputs(running, role)
        assert len(found) > 100
        assert [path for path, text in found.items() if REAL.search(text)] == []
        assert "Silent Otter" in found[f"/rollouts/{ROLLOUT}"]
        assert "500 " not in {text[:4] for text in found.values()}


def test_who_may_know_reads_it(running: Served) -> None:
    found = outputs(running, Role.SECURITY)
    assert "XSA-470" in found[f"/rollouts/{ROLLOUT}"]
    assert "XSA-470" in found["/api/v1/advisories"]
    assert "XSA-470" in found["/metrics"]
    assert "xenroll_rollout_deadline_timestamp_seconds{" in found["/metrics"]
    assert "deadline" in found[f"/rollouts/{ROLLOUT}/live"]


def test_nobody_who_is_not_logged_in_learns_it(running: Served) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for path in [*addresses(), "/nothing"]:
            answer = client.get(path)
            assert not REAL.search(f"{answer.headers} {answer.text}"), path


def test_the_live_feed_is_veiled_for_who_may_not_know(running: Served) -> None:
    for role, seen in ((Role.VIEWER, False), (Role.SECURITY, True)):
        with (
            running.client(role) as client,
            client.stream("GET", "/events", params={"since": f"0-0.{ROLLOUT}"}) as answer,
        ):
            said = []
            for line in answer.iter_lines():
                said.append(line)
                if '"kind":"test"' in line:
                    break
        assert bool(REAL.search("\n".join(said))) is seen


def test_an_error_does_not_tell_which_names_are_secret(running: Served) -> None:
    for role in (Role.VIEWER, Role.ON_CALL):
        answers = [
            running.get(f"/{folder}/XSA-{number}", role).json()
            for folder in ("advisories", "rollouts", "hosts")
            for number in ("470", "471")
        ]
        for one, other in zip(answers[::2], answers[1::2], strict=True):
            assert one | {"request_id": ""} == other | {"request_id": ""}
            assert "Otter" not in str(one)


def test_after_the_hour_everybody_reads_it(running: Served) -> None:
    running.played.clock.time = START + timedelta(hours=30)
    token = running.token(Role.VIEWER)
    running.tokens[Role.VIEWER] = token
    found = outputs(running, Role.VIEWER)
    assert "XSA-470" in found[f"/rollouts/{ROLLOUT}"] and "XSA-470" in found["/api/v1/advisories"]


def arguments(words: list[str], command: Any, empty: Path) -> list[str]:
    """What a command's arguments and its reason are given."""
    given = {"rollout": ROLLOUT, "advisory": "Silent Otter", "guest_class": "pv"}
    given |= {"host": "h1", "payload": "xsa470-4.17"}
    names = {"host": "h1", "guest": "g1", "advisory": "Silent Otter", "notify": "hook"}
    given |= {"file": str(empty), "name": names.get(words[0], "")}
    asked = [one.name for one in command.params if one.param_type_name == "argument"]
    why = ["--reason", "a good reason"] if option(command, "--reason") else []
    return [*why, *(given[name] for name in asked)]


def test_every_command_says_the_codename_to_who_may_not_know(
    running: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XENROLL_SERVER", running.url)
    (tmp_path / "empty").write_text("[]")
    for role in (Role.VIEWER, Role.ON_CALL, Role.SECURITY):
        monkeypatch.setenv("XENROLL_TOKEN", running.tokens[role])
        found: dict[str, str] = {}
        for words, command in over_the_api():
            changes = option(command, "--reason")
            if words[-1] in ("test", "evidence") or changes is not (role is Role.ON_CALL):
                continue  # the first two wait for a sender, for hosts
            more = arguments(words, command, tmp_path / "empty")
            for form in ("md", "html") if words == ["report"] else ("wide", "json"):
                said = CliRunner().invoke(build(), [*words, "-o", form, *more])
                assert said.exit_code in (0, 1, 2, 7, 8), (words, said.output)
                found[f"{' '.join(words)} -o {form}"] = said.output
        real = [words for words, text in found.items() if REAL.search(text)]
        assert len(found) > 20 and bool(real) is (role is Role.SECURITY), (role, real)


def test_no_log_says_the_real_name(redis_client: redis.Redis) -> None:
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes"})
    rollout_of(played)
    controller = played.controller()
    played.round(controller)
    talk = "xsa-470 breaks things, see CVE-2026-99999"
    assert played.store.want(ROLLOUT, Wanted.PAUSE, "anna", talk, played.clock.now())
    for _ in range(8):
        played.round(controller)
    assert any("Silent Otter breaks things" in line for line in played.log)
    service: list[str] = []
    with served(redis_client, played, log=service) as running:
        running.service.feed._log("cannot read what XSA-470 said")
    assert service == ["cannot read what Silent Otter said"]
    assert [line for line in [*played.log, *service] if REAL.search(line)] == []


def test_a_hook_is_told_the_codename_alone(redis_client: redis.Redis) -> None:
    played = RedisFleet(redis_client, small_fleet())
    rollout_of(played)
    book = played.store.book(ROLLOUT)
    for host in book.hosts.values():
        run = HookRun(stage=HookStage.PREFLIGHT, wanted_at=START)
        text = json.dumps(hook_document(book.rollout, host, run, START))
        assert "Silent Otter" in text and not REAL.search(text)


def test_an_advisory_without_embargo_is_shown_with_where_hosts_stand(running: Served) -> None:
    said = running.get("/advisories/XSA-1").json()
    assert said["title"] == "an old one" and sum(said["hosts"].values()) == 4
    rows = running.get("/advisories/XSA-1/hosts").json()["items"]
    assert [row["host"] for row in rows] == ["h0", "h1", "h2", "h3"]
    assert {row["advisory"] for row in rows} == {"XSA-1"}
    assert running.get("/advisories/XSA-9").status_code == 404


def test_every_way_to_write_it_is_veiled() -> None:
    assert hidden([SECRET], START) == [SECRET]
    assert hidden([SECRET], START + timedelta(hours=30)) == []
    veil = Veil([SECRET])
    for text in (
        "XSA-470",
        "xsa470",
        "xsa_470-2",
        "XSA%2D470",
        "CVE-2026-99999",
        "xsa470-4.17.livepatch",
        SECRET.title,
        "Guests can read “all” of &#34;everything&#34; &lt;at will&gt;",
        'Guests can read “all” of \\"everything\\" <at will>',
        'Guests can read \\u201call\\u201d of \\"everything\\" <at will>',
    ):
        assert not REAL.search(veil(f"see {text}!")), text
    assert veil("XSA-1 and XSA-47") == "XSA-1 and XSA-47"
