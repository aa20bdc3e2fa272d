"""Guests whose names mean harm, in everything that anybody reads: found by looking."""

from __future__ import annotations

import html.parser
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from agents import xl
from agents.keys import keys
from agents.settings import Settings
from planner.fleet import Fleet
from scheduler import serve
from scheduler.advisory import Advisory
from scheduler.cli import build
from scheduler.inventory import GuestEntry
from scheduler.notify.body import MAKERS, body
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.notify.targets import TargetKind
from scheduler.rollout import Happening
from scheduler.service.access import Role
from scheduler.service.problem import LINE_CHARS
from scheduler.service.report_text import POLICY
from tests.hostile import HOSTILE
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served
from tests.service_walk import changing, option, over_the_api
from tests.service_walk import readable as addresses
from tests.sim import NEW, START

WORST = HOSTILE[0]
FOR_A_TERMINAL = ("\x1b", "\x07", "\r", "\u202e", "\u2066", "\x00")
ROLLOUT = "xsa-1"


PLANNED = tuple(name for name in HOSTILE if re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]{1,255}", name))
"""What a rollout moves; a name with a control character in it is one that no plan is made for."""
WILD = tuple(name for name in HOSTILE if name not in PLANNED)


def hostile_fleet() -> Fleet:
    """Four hosts, and a guest of each name that can be planned for, its class like its name."""
    hosts = [host(f"h{n}", gib=64) for n in range(4)]
    guests = [guest(name, f"h{n % 4}", gib=1, guest_class=name) for n, name in enumerate(PLANNED)]
    return fleet(hosts, guests)


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout half way: names of guests are in steps, crashes, notices, the log, the audit."""
    faults = {WORST: "crashes", PLANNED[1]: "crashes", PLANNED[2]: "refuses"}
    played = RedisFleet(redis_client, hostile_fleet(), faults=faults)
    owners = tuple(GuestEntry(name=name, owner=name) for name in PLANNED)
    update = {"guests": owners, "notice_s": 30.0}
    played.sim.inventory = played.sim.inventory.model_copy(update=update)
    played.store.put_advisory(Advisory(id="XSA-1", fixed_builds=(NEW,)))
    begun(played)
    controller = played.controller()
    for _ in range(40):
        played.round(controller)
    wild(played)
    lost(played)
    with served(redis_client, played) as made:
        for action in ("pause", "resume"):
            said = {"reason": f"{WORST} {HOSTILE[1]}"}
            assert made.post(f"/rollouts/{ROLLOUT}/actions/{action}", said).status_code == 202
        yield made


def wild(played: RedisFleet) -> None:
    """What no rollout would have: these guests in a report, in records, and in the log."""
    report = played.sim.report_of(played.sim.hosts["h1"])
    model = report.guests[0]
    readable = [name for name in WILD if len(name) <= 255]  # a longer one makes it unreadable
    told = [{"name": name, "guest_class": name, "state": name[:6]} for name in readable]
    seen = [model.model_copy(update=one) for one in told]
    update = {"guests": (*report.guests, *seen), "trouble": (WILD[0],), "xen_version": WILD[1]}
    played.client.set(keys.report("h1"), report.model_copy(update=update).model_dump_json())
    book = played.store.book(ROLLOUT)
    record, step = next(iter(book.guests.values())), next(iter(book.steps.values()))
    for number, name in enumerate(WILD):
        said = {"name": name, "reason": name, "crashed": True, "guest_class": name}
        dead = record.model_copy(update=said)
        played.client.hset(f"xr:rollout:{ROLLOUT}:guests", name, dead.model_dump_json())
        hurt = step.model_copy(update={"guest": name, "reason": name, "id": f"wild-{number}"})
        played.client.hset(f"xr:rollout:{ROLLOUT}:steps", hurt.id, hurt.model_dump_json())
        line = Happening(at=START, kind="crashed", text=f"guest {name}", guest=name)
        played.client.xadd(f"xr:rollout:{ROLLOUT}:events", {"h": line.model_dump_json()})


def lost(played: RedisFleet) -> None:
    """Notifications of the newest lines, that a receiver did not take."""
    facts = TargetFacts(name="hook", kind="json", where="hooks.example", severity="debug")
    Outbox(played.client, "test").publish([facts])
    for number, line in enumerate(played.store.happenings(ROLLOUT, 50)):
        event = event_of(f"{number}-0", ROLLOUT, "XSA-1", line.guest or "", line)
        one = Delivery(event=event, queued_at=line.at, tries=3, said=f"HTTP 400 {WORST}")
        played.client.rpush("xr:notify:hook:dead", one.model_dump_json())


def values(name: str) -> dict[str, str]:
    """What the parameters of paths stand for."""
    return {
        "rollout_id": ROLLOUT,
        "step_id": "none",
        "generation": "1",
        "test_id": "none",
        "wave": "1",
        "action": "pause",
        "hosts/name": "h1",
        "guests/name": quote(name, safe=""),
        "guest-evidence/name": quote("none", safe=""),
        "advisories/name": "XSA-1",
        "notifications/name": "hook",
    }


class Page(html.parser.HTMLParser):
    """What a page says, and what it lets a browser do: scripts, handlers, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.said += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.wrong.append(f"{tag} {given}")
        if tag in ("iframe", "object", "embed", "base"):
            self.wrong.append(tag)
        for name, value in given.items():
            where = name in ("href", "src", "action", "formaction", "hx-get", "hx-post")
            outside = where and not (value or "").startswith(("/", "?", "#", "data:,"))
            if name.startswith("on") or outside:
                self.wrong.append(f"{tag} {name}={value}")


def assert_harmless(text: str, path: str) -> None:
    """Nothing in it acts, in a browser or a terminal, and nothing is endless."""
    assert not any(bad in text for bad in FOR_A_TERMINAL), path
    assert "x" * 1000 not in text, path
    assert "49$" not in text, path


def test_every_page_and_answer_is_harmless(running: Served) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        client.post("/login", data={"token": running.tokens[Role.ADMIN]})
        seen: dict[str, httpx.Response] = {}
        for name in HOSTILE[:-1]:  # the longest is no address of anything
            for path in set(addresses(values(name))) - set(seen):
                seen[path] = client.get(path, headers={"Accept": "text/html"})
    assert len(seen) > 60
    for path, answer in seen.items():
        assert answer.status_code in (200, 303, 404), f"{path}: {answer.text[:300]}"
        kind = answer.headers.get("content-type", "")
        if kind.startswith("text/html"):
            page = Page(answer.text)
            assert_harmless(page.said, path)
            assert page.wrong == [], path
        elif "json" in kind:
            # Names travel whole, escaped by JSON itself, and no browser takes it for a page.
            assert not any(bad in answer.text for bad in ("\x1b", "\x07", "\r")), path
            json.loads(answer.text)
            assert answer.headers["x-content-type-options"] == "nosniff"
        else:
            assert "\x1b" not in answer.text, path
    shown = seen[f"/rollouts/{ROLLOUT}"].text
    assert "&lt;script&gt;alert" in shown and "\\x1b[31mred" in shown


def test_a_report_is_one_page_that_runs_nothing_and_markdown_without_links(running: Served) -> None:
    page = running.get(f"/rollouts/{ROLLOUT}/report", format="html")
    assert page.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
    assert Page(page.text).wrong == []
    text = running.get(f"/rollouts/{ROLLOUT}/report", format="md").text
    assert "\\<script\\>" in text and "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(", text), "no link that a name has made"
    assert "x" * (LINE_CHARS + 1) not in text, "a name of 10 kB is cut, a whole sentence is not"


def test_errors_repeat_a_name_made_printable(running: Served) -> None:
    with running.client(Role.ADMIN) as client:
        for method, path in changing(values(WORST)):
            if not path.startswith("/api/v1"):
                continue
            for name in HOSTILE[:-1]:
                where = path.removeprefix("/api/v1").replace("h1", quote(name, safe=""))
                headers = {"Idempotency-Key": "hostile-key"}
                answer = client.request(method, where, json={"reason": ""}, headers=headers)
                assert answer.is_error, (method, where)
                assert_harmless(answer.text, where)
                assert "<script>alert" not in answer.headers.get("content-type", "")


def test_metrics_parse_and_hold_no_name(running: Served) -> None:
    headers = {"Authorization": f"Bearer {running.tokens[Role.VIEWER]}"}
    text = httpx.get(f"{running.url}/metrics", headers=headers, timeout=60).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (twice,) = families["xenroll_vms_running_twice"].samples
    assert twice.value == 0
    for family in families.values():
        for sample in family.samples:
            assert "guest" not in sample.labels and "vm" not in sample.labels
            if family.name != "xenroll_vm_crashes":  # by class, which is what the inventory says
                found = {name[:200] for name in HOSTILE} & set(sample.labels.values())
                assert not found, family.name


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
