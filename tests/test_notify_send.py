"""Notifications, from the event log to a real receiver: once, signed, again after failures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from scheduler.notify import sign
from scheduler.notify.outbox import Outbox
from tests.notify_kit import SECRET, notifier, say, sent, told_of, waiting
from tests.redis_fleet import RedisFleet
from tests.webhook_receiver import Receiver, receiver

pytestmark = pytest.mark.usefixtures("long_lease")


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    return told_of(redis_client)


def test_an_event_reaches_the_receiver_once_with_a_signature_that_holds(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path)
    assert sent(made) == 0, "history is not news"
    say(played, "stopped", "two copies of g1", host="h1", guest="g1")
    assert sent(made) == 1 and sent(made) == 0
    (got,) = hooks.got
    assert got.path == "/hook?a=b" and got.headers["content-type"] == "application/json"
    told = json.loads(got.body)
    assert told["type"] == "xenroll.stopped" and told["severity"] == "critical"
    assert (told["host"], told["guest"], told["rollout"]) == ("h1", "g1", "xsa-1")
    assert told["link"] == "https://dash/rollouts/xsa-1" and told["advisory"] == "XSA-1"
    assert told["id"] == got.headers["webhook-id"]
    at = got.headers["webhook-timestamp"]
    signed = f"{told['id']}.{at}.".encode() + got.body
    right = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{right}"
    now_s = played.clock.now().timestamp()
    assert sign.genuine(SECRET, got.headers, got.body, now_s)
    assert not sign.genuine(SECRET, got.headers, got.body + b" ", now_s)
    assert not sign.genuine(b"another secret", got.headers, got.body, now_s)
    assert not sign.genuine(SECRET, got.headers, got.body, now_s + 301), "a replay"
    assert not sign.genuine(SECRET, got.headers | {"webhook-id": "x"}, got.body, now_s)


def test_a_message_that_fails_is_sent_again_later_with_the_same_id(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path)
    hooks.answers = [500, 503]
    say(played, "stopped")
    say(played, "crashed")
    assert sent(made) == 1 and sent(made) == 0, "the second waits behind the first"
    played.clock.time += timedelta(seconds=1)
    assert sent(made) == 1 and sent(made) == 0
    played.clock.time += timedelta(seconds=1)
    assert sent(made) == 0, "the wait doubles"
    played.clock.time += timedelta(seconds=1)
    assert sent(made) == 2
    first = hooks.ids()[0]
    assert hooks.ids()[:3] == [first] * 3 and hooks.ids()[3] != first
    assert [json.loads(one.body)["type"] for one in hooks.got[2:]] == [
        "xenroll.stopped",
        "xenroll.crashed",
    ]
    assert not waiting(made)


def test_a_receiver_that_says_how_long_to_wait_is_believed(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path)
    hooks.answers = [(429, {"Retry-After": "40"})]
    say(played, "stopped")
    assert sent(made) == 1
    played.clock.time += timedelta(seconds=39)
    assert sent(made) == 0
    played.clock.time += timedelta(seconds=1)
    assert sent(made) == 1 and not waiting(made)


@pytest.mark.parametrize("trickle_s", [0.0, 0.05])
def test_a_receiver_that_does_not_answer_in_time_is_asked_again(
    played: RedisFleet, hooks: Receiver, tmp_path: Path, trickle_s: float
) -> None:
    made = notifier(played, hooks, tmp_path, "timeout_s = 0.3")
    hooks.trickle_s = trickle_s
    hooks.answers = [204] if trickle_s else ["hang"]
    say(played, "stopped")
    assert sent(made) == 1 and waiting(made)
    front = made.outbox.front("on-call")
    assert front is not None and front.delivery.said == "no answer within 0.3 s"
    hooks.let_go.set()
    hooks.trickle_s = 0.0
    played.clock.time += timedelta(seconds=1)
    assert sent(made) == 1 and not waiting(made)
    assert len(set(hooks.ids())) == 1, "the receiver can tell that it has it already"


def test_what_is_refused_for_good_is_kept_among_the_dead_and_can_be_sent_again(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path)
    hooks.answers = [404]
    say(played, "stopped")
    say(played, "crashed")
    assert sent(made) == 2, "the next one goes on"
    (dead,) = made.outbox.dead("on-call", 10)
    assert dead.said == "HTTP 404" and dead.event.kind == "stopped"
    assert made.outbox.revive("on-call", played.clock.now()) == 1
    assert sent(made) == 1
    assert hooks.ids()[2] == hooks.ids()[0] and made.outbox.dead("on-call", 10) == []


def test_what_nobody_takes_for_too_long_is_given_up(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path, "give_up_s = 3600")
    hooks.answers = [500] * 100
    say(played, "stopped")
    made.collect(1)
    requests = 0
    for _ in range(100):
        requests += made.senders[0].turn()
        played.clock.time += timedelta(seconds=60)
    assert 12 < requests < 30
    assert not waiting(made) and len(made.outbox.dead("on-call", 10)) == 1
    assert "given up" in played.log[-1] and hooks.url not in "".join(played.log)


def test_a_redirect_is_not_followed(played: RedisFleet, hooks: Receiver, tmp_path: Path) -> None:
    made = notifier(played, hooks, tmp_path)
    hooks.answers = [(302, {"Location": hooks.url})]
    say(played, "stopped")
    assert sent(made) == 1 and len(hooks.got) == 1
    (dead,) = made.outbox.dead("on-call", 10)
    assert dead.said == "HTTP 302 (a redirect, which is not followed)"


def test_a_new_life_goes_on_where_the_last_one_ended(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    first = notifier(played, hooks, tmp_path)
    say(played, "stopped")
    assert sent(first) == 1
    say(played, "crashed")
    first.lease.drop()
    second = notifier(played, hooks, tmp_path)  # what happened in between is told
    assert sent(second) == 1
    kinds = [json.loads(one.body)["type"] for one in hooks.got]
    assert kinds == ["xenroll.stopped", "xenroll.crashed"]
    assert len(set(hooks.ids())) == 2


def test_killed_after_queueing_or_after_sending_each_event_keeps_its_one_id(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    first = notifier(played, hooks, tmp_path)
    say(played, "stopped")
    first.collect(1)  # killed here: it is queued, once
    first.lease.drop()
    second = notifier(played, hooks, tmp_path)
    front = second.outbox.front("on-call")
    assert front is not None
    assert second.outbox.begin("on-call", front) is not None
    second.senders[0]._send(front.delivery.event)  # and here: it was sent, nobody wrote that down
    second.lease.drop()
    third = notifier(played, hooks, tmp_path)
    assert sent(third) == 1 and not waiting(third)
    assert len(hooks.got) == 2 and len(set(hooks.ids())) == 1
    say(played, "stopped")
    assert sent(third) == 1 and len(set(hooks.ids())) == 2


def test_who_has_lost_the_lease_sends_and_queues_nothing(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    old = notifier(played, hooks, tmp_path)
    say(played, "stopped")
    old.collect(1)
    old.lease.drop()
    new = notifier(played, hooks, tmp_path)
    say(played, "crashed")
    assert old.lease.hold() == new.owner
    assert sent(old) == 0
    assert hooks.got == [] and sent(new) == 2 and sent(old) == 0
    assert len(hooks.got) == 2


def test_a_test_is_sent_past_what_waits_and_tells_what_came_back(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    from scheduler.notify.outbox import Asked

    made = notifier(played, hooks, tmp_path)
    hooks.answers = [500, 200, 500]
    say(played, "stopped")
    assert sent(made) == 1
    asked = Asked(id="abc", target="on-call", by="anna", at=played.clock.now())
    said = made.senders[0].test(asked)
    assert said.ok and said.said == "HTTP 200"
    assert json.loads(hooks.got[1].body)["type"] == "xenroll.test"
    assert hooks.ids()[1] == "test-abc"
    assert not made.senders[0].test(asked).ok
    assert Outbox(played.client, "other").front("on-call") is not None


def test_a_full_queue_loses_nothing_silently(
    played: RedisFleet, hooks: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.notify.outbox.MOST_WAITING", 2)
    made = notifier(played, hooks, tmp_path)
    for _ in range(5):
        say(played, "stopped")
    made.collect(1)
    assert len(made.outbox.dead("on-call", 10)) == 3
    assert sent(made) == 2
