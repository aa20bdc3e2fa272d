"""Embargo: the real name is in no output for who may not know it, and in all for who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
import redis

from scheduler.advisory import Advisory
from scheduler.fleet_view import Scope
from scheduler.launch import Draw, Wish, begin
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.planning import plan_fleet
from scheduler.rollout import Happening
from scheduler.service.access import Role
from scheduler.service.openapi import document
from scheduler.service.veil import Veil, hidden
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
REAL = re.compile(r"xsa[-_ ]?470|99999|at will|read .{0,12}everything", re.IGNORECASE)
ROLLOUT = "silent-otter"


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout for an advisory under embargo, half way, with people who talk too much."""
    played = RedisFleet(redis_client, small_fleet(), faults={"g1": "crashes"})
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.store.put_advisory(SECRET)
    played.store.put_advisory(Advisory(id="XSA-1", title="an old one", fixed_builds=(NEW,)))
    played.publish()
    reports = [played.sim.report_of(one) for one in played.sim.hosts.values()]
    scope = Scope((NEW,), played.sim.fleet.policy, advisories=(SECRET,))
    planned, fleet = plan_fleet(reports, played.sim.inventory, scope, START)
    wish = Wish("XSA-470", (), "security", reason="xsa470 it is", advisories=(SECRET,))
    assert begin(played.store, Draw(wish, planned, fleet, START)).id == ROLLOUT
    controller = played.controller()
    for _ in range(8):
        played.round(controller)
    line = Happening(at=START, kind="test", text=f"XSA-470 is {SECRET.title}")
    redis_client.xadd(f"xr:rollout:{ROLLOUT}:events", {"h": line.model_dump_json()})
    given_up(redis_client, line)
    with served(redis_client, played) as made:
        talk = {"reason": "xsa-470 breaks things, see CVE-2026-99999"}
        assert made.post(f"/rollouts/{ROLLOUT}/actions/pause", talk).status_code == 202
        played.round(controller)
        yield made


def given_up(client: redis.Redis, said: Happening) -> None:
    """A notification of this line that its receiver did not take."""
    facts = TargetFacts(name="hook", kind="json", where="hooks.example", severity="info")
    Outbox(client, "test").publish([facts])
    event = event_of("1-0", ROLLOUT, "XSA-470", "", said)
    lost = Delivery(event=event, queued_at=START, tries=3, said="HTTP 400")
    for queue in ("queue", "dead"):
        client.rpush(f"xr:notify:hook:{queue}", lost.model_dump_json())


def addresses() -> list[str]:
    """Everything that can be read: the API's paths filled in, and the pages."""
    filled = {
        "rollout_id": ROLLOUT,
        "step_id": "g1-1",
        "generation": "1",
        "test_id": "none",
    }
    names = {"hosts": "h1", "guests": "g1", "advisories": "Silent%20Otter", "notifications": "hook"}
    found = []
    for path, methods in document()["paths"].items():
        if "get" in methods and path != "/api/v1/events":
            name = names.get(path.split("/")[3], "")
            text = re.sub(r"\{name(:any)?\}", name, path)
            found.append(re.sub(r"\{(\w+)\}", lambda m: filled[m[1]], text))
    pages = ["", "/live", "/grid", "/plan", "/report", "/report.md"]
    found += [f"/rollouts/{ROLLOUT}{part}" for part in pages]
    found += [f"/api/v1/rollouts/{ROLLOUT}/report?format={form}" for form in ("md", "html")]
    return [
        *found,
        "/",
        "/rollouts",
        "/hosts",
        "/hosts/h1",
        "/guests/g1",
        "/metrics",
        "/audit",
        "/notifications",
    ]


def outputs(running: Served, role: Role) -> dict[str, str]:
    """Address -> headers and body, as this role gets them."""
    found = {}
    with httpx.Client(base_url=running.url, timeout=30) as client:
        client.post("/login", data={"token": running.tokens[role]})
        for path in addresses():
            accept = {"Accept": "text/html" if not path.startswith("/api") else "*/*"}
            answer = client.get(path, headers=accept)
            found[path] = f"{answer.status_code} {answer.headers} {answer.text}"
    return found


def test_who_may_not_know_finds_the_real_name_nowhere(running: Served) -> None:
    for role in (Role.VIEWER, Role.ON_CALL):
        found = outputs(running, role)
        assert len(found) > 25
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
    with httpx.Client(base_url=running.url) as client:
        for path in [*addresses(), "/login", "/healthz", "/readyz", "/nothing"]:
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


def test_an_advisory_without_embargo_is_shown_with_where_hosts_stand(running: Served) -> None:
    said = running.get("/advisories/XSA-1").json()
    assert said["title"] == "an old one" and sum(said["hosts"].values()) == 4
    assert set(said["standings"]) == {"h0", "h1", "h2", "h3"}
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
