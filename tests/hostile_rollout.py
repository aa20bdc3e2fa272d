"""A rollout half way, of guests whose names mean harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from agents.keys import keys
from planner.fleet import Fleet
from scheduler.advisory import Advisory
from scheduler.inventory import GuestEntry
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.rollout import Happening
from tests.hostile import HOSTILE
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served
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


@contextmanager
def half_way(client: redis.Redis) -> Iterator[Served]:
    """A rollout half way: names of guests are in steps, crashes, notices, the log, the audit."""
    faults = {WORST: "crashes", PLANNED[1]: "crashes", PLANNED[2]: "refuses"}
    played = RedisFleet(client, hostile_fleet(), faults=faults)
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
    with served(client, played) as made:
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
