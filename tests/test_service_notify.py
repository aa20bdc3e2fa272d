"""Notifications through API and page: who may look, who may test, what is never shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from scheduler.notify.run import Notifier
from scheduler.notify.targets import load_config
from scheduler.rollout import Happening
from scheduler.service.access import Role
from tests.service_kit import Served, just_begun
from tests.sim import START
from tests.webhook_receiver import Receiver, receiver

pytestmark = pytest.mark.usefixtures("long_lease")


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


@pytest.fixture
def sender(running: Served, hooks: Receiver, tmp_path: Path) -> Notifier:
    """A sender that acts by hand and has just begun to lead."""
    file = tmp_path / "notify.toml"
    file.write_text(f'[[target]]\nname = "on-call"\nurl = "{hooks.url}"\n')
    config, targets = load_config(file)
    played = running.played
    made = Notifier(played.client, config, targets, played.clock.now, played.log.append)
    made.round()
    return made


def say(running: Served, text: str) -> None:
    line = Happening(at=START, kind="stopped", text=text)
    running.played.client.xadd("xr:rollout:xsa-1:events", {"h": line.model_dump_json()})


def page(running: Served, role: Role) -> tuple[httpx.Client, str]:
    """A logged-in browser, and what the page says."""
    client = httpx.Client(base_url=running.url, timeout=30, follow_redirects=True)
    client.post("/login", data={"token": running.tokens[role]})
    return client, client.get("/notifications", headers={"Accept": "text/html"}).text


def field(text: str, name: str) -> str:
    return text.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]


def test_everybody_may_look_and_nobody_sees_an_address(running: Served, sender: Notifier) -> None:
    said = running.get("/notifications")
    assert said.json()["sender"] == sender.owner
    (target,) = said.json()["targets"]
    assert (target["name"], target["where"], target["waiting"]) == ("on-call", "127.0.0.1", 0)
    assert "/hook" not in said.text
    client, text = page(running, Role.VIEWER)
    assert "on-call" in text and "/hook" not in text and "Send a test" not in text
    client.close()


def test_without_a_sender_the_page_says_that_nothing_is_sent(running: Served) -> None:
    assert running.get("/notifications").json() == {"sender": None, "targets": []}
    client, text = page(running, Role.ON_CALL)
    assert "no sender runs" in text and "Nobody is told anything yet" in text
    client.close()
    assert running.post("/notifications/on-call/test").status_code == 404


def test_a_test_asked_for_by_the_api_is_sent_once_and_its_answer_is_there(
    running: Served, sender: Notifier, hooks: Receiver
) -> None:
    assert running.post("/notifications/on-call/test", role=Role.VIEWER).status_code == 403
    assert running.post("/notifications/nobody/test").status_code == 404
    first = running.post("/notifications/on-call/test", key="the-same-key")
    again = running.post("/notifications/on-call/test", key="the-same-key")
    assert first.status_code == 202 and first.json() == again.json()
    path = first.headers["location"].removeprefix("/api/v1")
    assert running.get(path).status_code == 404
    hooks.answers = [200]
    asked = sender.outbox.asked()
    assert asked is not None and asked.by == "t-on-call" and sender.outbox.asked() is None
    sender._test(asked)
    said = running.get(path).json()
    assert (said["ok"], said["said"], said["target"]) == (True, "HTTP 200", "on-call")
    assert len(hooks.got) == 1
    entries = running.get("/audit", Role.ADMIN).json()["items"]
    assert [one["action"] for one in entries] == ["notify.test"]


def test_the_button_on_the_page_sends_a_test_and_shows_the_answer(
    running: Served, sender: Notifier, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, text = page(running, Role.ON_CALL)
    form = {"csrf": field(text, "csrf"), "key": field(text, "key"), "wish": "test"}
    wrong = client.post("/notifications/on-call/act", data=form | {"csrf": "x"})
    assert wrong.status_code == 403
    other = client.post(
        "/notifications/on-call/act", data=form, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert other.status_code == 403 and sender.outbox.asked() is None
    monkeypatch.setattr("scheduler.service.page_notify.TEST_WAIT_S", 0.0)
    answer = client.post("/notifications/on-call/act", data=form)
    assert "has had no answer yet" in answer.text
    asked = sender.outbox.asked()
    assert asked is not None
    hooks.answers = [503]
    sender._test(asked)
    said = client.get(str(answer.url), headers={"Accept": "text/html"}).text
    assert "Test of on-call: HTTP 503" in said and "nobody&#39;s business" not in said
    client.close()


def test_what_was_given_up_is_shown_harmlessly_and_sent_again(
    running: Served, sender: Notifier, hooks: Receiver
) -> None:
    hooks.answers = [400]
    say(running, "<script>alert(1)</script>\x1b[31m")
    sender.collect(1)
    assert sender.senders[0].turn()
    (dead,) = running.get("/notifications/on-call/dead").json()["items"]
    assert dead["said"] == "HTTP 400"
    client, text = page(running, Role.ON_CALL)
    assert "<script>alert" not in text and "\x1b" not in text and "HTTP 400" in text
    form = {"csrf": field(text, "csrf"), "key": field(text, "key"), "wish": "retry"}
    assert client.post("/notifications/on-call/act", data=form).status_code == 200
    client.close()
    assert running.get("/notifications/on-call/dead").json()["items"] == []
    assert running.get("/notifications").json()["targets"][0]["waiting"] == 1
    assert sender.senders[0].turn() and hooks.ids()[0] == hooks.ids()[1]
    assert running.post("/notifications/on-call/retry").json() == {"target": "on-call", "again": 0}
