"""Who is told what: only what a target wants, only of their guests, no real name too early."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from agents.verdict import Outcome
from scheduler.advisory import Advisory
from scheduler.inventory import GuestEntry, Inventory
from scheduler.notify.event import SEVERITIES
from scheduler.rollout import Happening
from tests.notify_kit import notifier, say, sent, told_of
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet
from tests.sim import NEW, START
from tests.webhook_receiver import Receiver, receiver

pytestmark = pytest.mark.usefixtures("long_lease")


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    return told_of(redis_client)


def test_every_kind_that_matters_more_or_less_is_said_somewhere(repository: Path) -> None:
    files = [one for one in (repository / "scheduler").rglob("*.py") if one.name != "event.py"]
    text = "".join(one.read_text() for one in files)
    of_outcomes = {one.value for one in Outcome}  # a step's end is told under its outcome
    assert [k for k in SEVERITIES if f'"{k}"' not in text and k not in of_outcomes] == []


def test_only_what_a_target_wants_is_sent_to_it(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    made = notifier(played, hooks, tmp_path, 'severity = "critical"')
    for kind in ("moved", "blocked", "done", "stopped"):
        say(played, kind)
    assert sent(made) == 1
    made.lease.drop()
    made = notifier(played, hooks, tmp_path, 'kinds = ["moved", "done"]')
    for kind in ("moved", "blocked", "done", "stopped"):
        say(played, kind)
    assert sent(made) == 2
    kinds = [json.loads(one.body)["type"] for one in hooks.got]
    assert kinds == ["xenroll.stopped", "xenroll.moved", "xenroll.done"]


def test_an_owner_is_told_of_their_own_guests_alone(
    played: RedisFleet, hooks: Receiver, tmp_path: Path
) -> None:
    guests = (GuestEntry(name="g1", owner="shop"), GuestEntry(name="g2", owner="mail"))
    played.store.apply_inventory(Inventory(guests=guests).model_dump_json(by_alias=True).encode())
    made = notifier(played, hooks, tmp_path, 'owners = ["shop"]\nkinds = ["moved"]')
    for guest in ("g1", "g2", "g3"):
        say(played, "moved", guest=guest)
    say(played, "moved")
    assert sent(made) == 1
    told = json.loads(hooks.got[0].body)
    assert (told["guest"], told["owner"]) == ("g1", "shop")


def test_under_embargo_no_form_of_message_has_the_real_name(
    redis_client: redis.Redis, hooks: Receiver, tmp_path: Path
) -> None:
    secret = Advisory(
        id="XSA-470",
        title='Guests read "everything"',
        cves=("CVE-2026-99999",),
        fixed_builds=(NEW,),
        embargo_until=START + timedelta(hours=2),
        codename="Silent Otter",
    )
    played = RedisFleet(redis_client, small_fleet())
    played.store.put_advisory(secret)
    rollout = begun(played, secret).id
    line = Happening(at=START, kind="stopped", text=f"xsa470 (CVE-2026-99999): {secret.title}")
    for number, kind in enumerate(("json", "alertmanager", "slack")):
        made = notifier(played, hooks, tmp_path, f'kind = "{kind}"')
        played.client.xadd(f"xr:rollout:{rollout}:events", {"h": line.model_dump_json()})
        assert sent(made) == 1
        body = hooks.got[number].body.decode().lower()
        assert "otter" in body
        for name in ("xsa-470", "xsa470", "99999", "everything"):
            assert name not in body
        made.lease.drop()
    played.clock.time = START + timedelta(hours=2)
    made = notifier(played, hooks, tmp_path)
    played.client.xadd(f"xr:rollout:{rollout}:events", {"h": line.model_dump_json()})
    assert sent(made) == 1
    assert json.loads(hooks.got[3].body)["advisory"] == "XSA-470"
