"""A rollout for an advisory under embargo, and people who talk too much about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import redis

from scheduler.advisory import Advisory
from scheduler.fleet_view import Scope
from scheduler.launch import Draw, Wish, begin
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.planning import plan_fleet
from scheduler.rollout import Happening
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, served, small_fleet
from tests.sim import NEW, START

SECRET = Advisory(
    id="XSA-470",
    title='Guests can read “all” of "everything" <at will>',
    cves=("CVE-2026-99999",),
    fixed_builds=(NEW,),
    livepatches={"0" * 40: "xsa470-4.17.livepatch"},
    deadline=START + timedelta(hours=30),
    embargo_until=START + timedelta(hours=30),
    codename="Silent Otter",
)
ROLLOUT = "silent-otter"


@contextmanager
def embargoed(client: redis.Redis) -> Iterator[Served]:
    """A rollout for an advisory under embargo, half way, with people who talk too much."""
    played = RedisFleet(client, small_fleet(), faults={"g1": "crashes"})
    rollout_of(played)
    controller = played.controller()
    for _ in range(8):
        played.round(controller)
    line = Happening(at=START, kind="test", text=f"XSA-470 is {SECRET.title}")
    client.xadd(f"xr:rollout:{ROLLOUT}:events", {"h": line.model_dump_json()})
    given_up(client, line)
    with served(client, played) as made:
        talk = {"reason": "xsa-470 breaks things, see CVE-2026-99999"}
        assert made.post(f"/rollouts/{ROLLOUT}/actions/pause", talk).status_code == 202
        played.round(controller)
        yield made


def rollout_of(played: RedisFleet) -> None:
    """Begin a rollout for it, beside an advisory that everybody knows."""
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.store.put_advisory(SECRET)
    played.store.put_advisory(Advisory(id="XSA-1", title="an old one", fixed_builds=(NEW,)))
    played.publish()
    reports = [played.sim.report_of(one) for one in played.sim.hosts.values()]
    scope = Scope((NEW,), played.sim.fleet.policy, advisories=(SECRET,))
    planned, fleet = plan_fleet(reports, played.sim.inventory, scope, START)
    wish = Wish("XSA-470", (), "security", reason="xsa470 it is", advisories=(SECRET,))
    assert begin(played.store, Draw(wish, planned, fleet, START)).id == ROLLOUT


def given_up(client: redis.Redis, said: Happening) -> None:
    """A notification of this line that its receiver did not take."""
    facts = TargetFacts(name="hook", kind="json", where="hooks.example", severity="info")
    Outbox(client, "test").publish([facts])
    event = event_of("1-0", ROLLOUT, "XSA-470", "", said)
    lost = Delivery(event=event, queued_at=START, tries=3, said="HTTP 400")
    for queue in ("queue", "dead"):
        client.rpush(f"xr:notify:hook:{queue}", lost.model_dump_json())
