"""Guests whose names mean harm, in everything that the service answers: found by looking."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from scheduler.service.access import Role
from scheduler.service.problem import LINE_CHARS
from scheduler.service.report_text import POLICY
from tests.hostile import HOSTILE
from tests.hostile_rollout import FOR_A_TERMINAL, ROLLOUT, WORST, half_way
from tests.service_kit import Served
from tests.service_walk import changing
from tests.service_walk import readable as addresses


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with half_way(redis_client) as made:
        yield made


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
