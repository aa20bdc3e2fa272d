"""Live patches through the real store, controller and command line; hosts in virtual time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import redis

from agents.keys import keys
from agents.wire import Kind, Wanted
from scheduler.advisory import Advisory
from scheduler.launch import Draw, Wish, begin
from scheduler.rollout import HostState, Rollout, RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW, OLD
from tests.test_cli_rollout import said, xenroll

PATCHED = Advisory(id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch"}, fixed_builds=(NEW,))
HALF = Advisory(id="XSA-1", livepatches={OLD: "/p/xsa1.livepatch", NEW: "/p/xsa1-new.livepatch"})
REBOOTS = Advisory(id="XSA-2", fixed_builds=(NEW,))
FILES = {"xsa1": "1" * 64, "xsa1-new": "2" * 64}


def played(client: redis.Redis, *advisories: Advisory, **sim: Any) -> RedisFleet:
    hosts = [host(f"h{n}", gib=16, offers=["livepatch"]) for n in range(4)]
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(8)]
    small = fleet(hosts, guests, canary_hosts=1, gates="canary")
    made = RedisFleet(client, small, **{"advisories": advisories, "payloads": FILES, **sim})
    made.store.apply_inventory(made.sim.inventory.model_dump_json(by_alias=True).encode())
    for advisory in advisories:
        made.store.put_advisory(advisory)
    made.publish()
    return made


def begun(made: RedisFleet) -> Rollout:
    """What `xenroll rollout start` does, on the reports of now."""
    names = ", ".join(one.id for one in made.sim.advisories)
    wish = Wish(names, (), "security", advisories=made.sim.advisories)
    at = made.clock.now()
    return begin(made.store, Draw(wish, made.sim.planned, b"{}", at, livepatch=True))


def kinds(made: RedisFleet) -> list[Kind]:
    steps = made.store.book(made.head().id).steps.values()
    return [step.kind for step in steps if step.tries]


def test_one_host_is_patched_by_the_controller_and_one_falls_to_a_reboot(
    redis_client: redis.Redis,
) -> None:
    made = played(redis_client, PATCHED, patch_exits={"h2": [1] * 9})
    begun(made)
    made.run(made.controller())
    book = made.store.book(made.head().id)
    assert book.rollout.state is RolloutState.DONE
    assert {h.state for h in book.hosts.values()} == {HostState.FIXED}
    assert {n: h.boot for n, h in made.sim.hosts.items()} == {"h0": 1, "h1": 1, "h2": 2, "h3": 1}
    assert kinds(made).count(Kind.LIVEPATCH) == 4
    assert kinds(made).count(Kind.REBOOT) == 1


def test_the_report_tells_who_was_patched_and_what_microcode_the_reboots_brought(
    redis_client: redis.Redis, redis_url: str
) -> None:
    new = {"microcode": "0x11"}
    made = played(redis_client, PATCHED, patch_exits={"h2": [1] * 9}, comes_back={"h2": new})
    begun(made)
    made.run(made.controller())
    told = json.loads(xenroll(redis_url, "rollout", "report", "--json").stdout)
    assert told["ways"] == {"livepatch": 3, "reboot": 1}
    assert told["microcode"] == {"h2": ["0x10", "0x11"]}
    text = xenroll(redis_url, "rollout", "report")
    said(text, 0, "1 hosts from 0x10 to 0x11", "3 of 3 hosts, without moving a guest")


def test_controllers_that_come_and_go_load_each_patch_once(redis_client: redis.Redis) -> None:
    made = played(redis_client, HALF, REBOOTS, patch_exits={"h1": [2, 1]})
    begun(made)
    for turn in range(3000):
        if turn % 7 == 0:
            controller = made.controller()
        made.round(controller)
        if made.head().state is RolloutState.DONE:
            break
    book = made.store.book(made.head().id)
    assert book.rollout.state is RolloutState.DONE
    assert all(h.livepatches == ("xsa1-new",) for h in made.sim.hosts.values())
    assert all(h.boot == 2 for h in made.sim.hosts.values())
    assert not any(h.closed for h in book.hosts.values())


def test_each_hosts_choice_is_shown_as_text_and_as_json(
    redis_client: redis.Redis, redis_url: str
) -> None:
    made = played(redis_client, PATCHED, livepatches={"h3": ("xsa1",)})
    begun(made)
    text = xenroll(redis_url, "rollout", "show")
    said(
        text, 0, "h0", "live patch xsa1: fits build 0000", "fixed already: live patch xsa1 is appl"
    )
    shown = json.loads(xenroll(redis_url, "rollout", "show", "--json").stdout)
    ways = {one["name"]: one["choice"]["way"] for one in shown["hosts"]}
    assert ways == {"h0": "livepatch", "h1": "livepatch", "h2": "livepatch", "h3": "fixed"}
    assert shown["hosts"][0]["choice"]["payloads"][0]["name"] == "xsa1"
    assert shown["livepatch"] is True
    said(xenroll(redis_url, "rollout", "show", "xsa-9"), 8, "no rollout xsa-9")


def test_an_advisory_is_told_its_payloads_with_their_digests(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    made = played(redis_client)
    file = tmp_path / "xsa7.livepatch"
    file.write_bytes(b"payload")
    add = ["advisory", "add", "XSA-7", "--livepatch", f"{OLD}={file}"]
    said(xenroll(redis_url, *add, "--microcode", "06-55-07=0x20"), 0, "kept")
    kept = made.store.advisories()["XSA-7"]
    assert kept.livepatch_sha256s == {OLD: hashlib.sha256(b"payload").hexdigest()}
    assert kept.microcode == {"06-55-07": "0x20"}
    elsewhere = ["advisory", "add", "XSA-7", "--livepatch", f"{OLD}=/not/here.livepatch"]
    said(xenroll(redis_url, *elsewhere, "--livepatch-sha256", f"{OLD}={'a' * 64}"), 0)
    assert made.store.advisories()["XSA-7"].livepatch_sha256s == {OLD: "a" * 64}
    said(xenroll(redis_url, *elsewhere, "--livepatch-sha256", f"{OLD}=abc"), 2, "sha256")
    said(xenroll(redis_url, "advisory", "add", "XSA-7", "--livepatch", f"{OLD}=a b"), 2, "letters")
    said(xenroll(redis_url, "advisory", "add", "XSA-7", "--microcode", "x=1"), 2, "microcode")


@pytest.mark.parametrize("field", ["choice", "no_livepatch", "before", "lacking", "boot_id"])
def test_a_record_of_an_older_rollout_is_still_read(redis_client: redis.Redis, field: str) -> None:
    made = played(redis_client, PATCHED)
    rollout = begun(made)
    name = f"xr:rollout:{rollout.id}:hosts"
    record = json.loads(redis_client.hget(name, "h0") or b"")
    del record[field]
    redis_client.hset(name, "h0", json.dumps(record))
    head = json.loads(redis_client.get(f"xr:rollout:{rollout.id}") or b"")
    for new in ("livepatch", "keeps", "livepatch_doubts"):
        del head[new]
    redis_client.set(f"xr:rollout:{rollout.id}", json.dumps(head))
    assert made.store.book(rollout.id).rollout.livepatch is False


def test_hosts_are_asked_for_a_look_right_before_a_step_starts_there(
    redis_client: redis.Redis,
) -> None:
    made = played(redis_client, PATCHED)
    begun(made)
    controller = made.controller()
    made.want(Wanted.PAUSE)
    for _ in range(2):  # the first report that a controller finds may be of any age
        made.publish()
        controller.tick()
    made.pass_time(10)  # good enough to show and to plan with, not to start a step on
    made.want(Wanted.RUN)
    controller.tick()
    assert made.head().state is RolloutState.RUNNING
    assert not any(redis_client.hlen(keys.orders(name)) for name in made.sim.hosts)
    assert redis_client.get(keys.look("h0")) is not None
    made.publish()
    controller.tick()
    assert redis_client.hlen(keys.orders("h0")) == 1
