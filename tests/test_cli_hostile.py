"""Guests whose names mean harm, in logs, commands, notices and command lines of xl."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import yaml
from typer.testing import CliRunner

from agents import xl
from agents.keys import keys
from agents.settings import Settings
from scheduler import serve
from scheduler.cli import build
from scheduler.notify.body import MAKERS, body
from scheduler.notify.event import event_of
from scheduler.notify.targets import TargetKind
from scheduler.rollout import Happening
from scheduler.service.access import Role
from tests.hostile import HOSTILE
from tests.hostile_rollout import FOR_A_TERMINAL, PLANNED, ROLLOUT, WORST, half_way
from tests.service_kit import Served
from tests.service_walk import option, over_the_api
from tests.sim import START


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with half_way(redis_client) as made:
        yield made


def test_a_log_keeps_one_line_for_one_happening(
    running: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [*running.played.log, *HOSTILE]
    assert any(WORST in line for line in running.played.log)
    for line in lines:
        serve.log(line)
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == len(lines)
    assert not any(bad in printed for bad in FOR_A_TERMINAL)


ARGUMENTS = {"rollout": ROLLOUT, "advisory": "XSA-1"}
"""Of commands, by the argument's name; a `name` is that of the noun."""
NAMES = {"host": "h1", "guest": PLANNED[2], "advisory": "XSA-1", "notify": "hook"}


def arguments(words: list[str], command: Any) -> list[str]:
    """What a command's arguments are given."""
    asked = [one.name for one in command.params if one.param_type_name == "argument"]
    given = [NAMES[words[0]] if name == "name" else ARGUMENTS[name] for name in asked]
    return ["--", *given] if given else []


def test_every_command_that_only_reads_prints_it_harmlessly_in_every_form(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENROLL_SERVER", running.url)
    monkeypatch.setenv("XENROLL_TOKEN", running.tokens[Role.ADMIN])
    shown = 0
    for words, command in over_the_api():
        if option(command, "--reason") or words == ["guest", "evidence"]:
            continue
        forms = ("md", "json", "yaml") if words == ["report"] else ("table", "wide", "json", "yaml")
        for form in forms:
            said = CliRunner().invoke(build(), [*words, "-o", form, *arguments(words, command)])
            assert said.exit_code == 0, (words, said.output)
            assert not any(bad in said.output for bad in FOR_A_TERMINAL), (words, form)
            shown += "alert(" in said.output
            if form == "json":
                json.loads(said.output)
            if form == "yaml":
                yaml.safe_load(said.output)
            if form in ("table", "wide"):
                assert "evil.example" not in said.output or "[link=" in said.output, words
    assert shown > 20


def test_notices_to_owners_and_guests_are_what_they_say_they_are(running: Served) -> None:
    played = running.played
    lines = played.store.happenings(ROLLOUT, 500)
    told = {line.guest for line in lines if line.kind == "notice"}
    assert WORST in told and told - {None} <= set(PLANNED)
    wild = [Happening(at=START, kind="notice", text=f"to {one}", guest=one) for one in HOSTILE]
    for line in [*lines, *wild]:
        event = event_of("1-0", ROLLOUT, "XSA-1", (line.guest or "")[:200], line)
        for kind in TargetKind:
            text = body(kind, event, "https://dash.example")
            json.loads(text)
            assert not any(bad in text for bad in FOR_A_TERMINAL) and "x" * 1001 not in text
            if kind is TargetKind.SLACK:
                assert "<" not in json.loads(text)["text"]
    assert set(MAKERS) == set(TargetKind)
    for name in played.sim.hosts:
        for raw in played.client.hvals(keys.notices(name)):
            assert json.loads(raw)["guest"] in HOSTILE


def test_no_command_line_of_xl_is_given_a_name_as_anything_but_one_word() -> None:
    settings = Settings(host="h1", redis_url="unix:///x")
    told: set[str] = set()
    for name, make in inspect.getmembers(xl, inspect.isfunction):
        wanted = inspect.signature(make, eval_str=True).parameters
        for hostile in HOSTILE:
            numbers = (int, int | None)
            given = [7 if one.annotation in numbers else hostile for one in wanted.values()]
            argv = make(settings, *given[1:])
            assert all(isinstance(word, str) for word in argv), name
            odd = [word for word in argv if hostile in word]
            assert set(odd) <= {hostile, f'uuid="{hostile}"', f"sched-{hostile}"}, name
            told |= {name} if odd else set()
    by_name = {"rename"}
    assert told - by_name == {
        *("migrate", "create", "shares", "share", "cpupool_migrate", "vcpu_pin"),
        *("livepatch_upload", "livepatch_unload", "livepatch_apply", "livepatch_revert"),
        "xenstore_node",  # a path below "/", of a domid or of a UUID that was read as one
    }, "guests are named by their domid: whoever takes a name here has to say why"
