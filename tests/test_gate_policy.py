"""Gates in the inventory file and on the command line: what is taken, refused and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from agents.wire import Wanted
from scheduler.closed import closed_hosts
from scheduler.fleet_view import FleetDoubt
from scheduler.gates import GatePolicy, Hook
from scheduler.inventory import InventoryError, load_inventory
from scheduler.launch import Wish, gates_of
from scheduler.rollout import RolloutState
from scheduler.wishes import Part, approve, wish
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW
from tests.test_cli_rollout import said, xenroll

ROOT = Path(__file__).resolve().parent.parent


def played_fleet(client: redis.Redis, **gates: object) -> RedisFleet:
    hosts = [host(f"h{n}", gib=16) for n in range(3)]
    guests = [guest(f"g{n}", f"h{n}", gib=2) for n in range(3)]
    seen = fleet(hosts, guests, canary_hosts=1, gates="every", wave_hosts=1, max_hosts_away=1)
    played = RedisFleet(client, seen, gates=GatePolicy.model_validate(gates))
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    return played


def test_the_documented_example_is_an_inventory() -> None:
    text = (ROOT / "deploy/operating.md").read_text()
    example = text.split("```json\n")[1].split("```")[0]
    inventory = load_inventory(f"{{{example}}}".encode())
    assert inventory.gates.soak_s == 3600 and inventory.gates.approval
    assert [one.name for one in inventory.gates.alerts.sources] == ["xen", "pager"]
    assert inventory.gates.hooks.before_drain == Hook(argv=("/etc/xenroll/leave-pool",))


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({"soak": 60}, "gates.soak"),
        ({"soak_s": -1}, "gates.soak_s"),
        ({"windows": {"zone": "Mars/Base", "windows": []}}, "no time zone 'Mars/Base'"),
        ({"hooks": {"preflight": {"argv": []}}}, "gates.hooks.preflight.argv"),
        ({"hooks": {"before": {"argv": ["true"]}}}, "gates.hooks.before"),
        ({"hooks": {"preflight": {"argv": ["a"], "timeout_s": 0}}}, "timeout_s"),
        ({"alerts": {"holds": "all"}}, "gates.alerts.holds"),
        ({"alerts": {"alertmanager": [{"name": "a", "url": "alerts:9093"}]}}, "http://"),
    ],
)
def test_gates_that_cannot_be_are_refused_with_their_path(
    gates: dict[str, object], words: str
) -> None:
    with pytest.raises(InventoryError) as refused:
        load_inventory(json.dumps({"gates": gates}).encode())
    assert words in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("soak_s", 60), ("approval", True)])
def test_a_gate_between_waves_that_wait_for_nothing_is_refused(name: str, value: object) -> None:
    document = {"policy": {"gates": "none"}, "gates": {name: value}}
    with pytest.raises(InventoryError, match=f"gates.{name}: no wave waits for another"):
        load_inventory(json.dumps(document).encode())
    inventory = load_inventory(b'{"policy": {"gates": "none"}}')
    asked = Wish("XSA-1", (NEW,), "me", soak_s=60.0 if name == "soak_s" else None, approval=True)
    with pytest.raises(FleetDoubt, match="no wave waits for another"):
        gates_of(asked, inventory)


def test_what_a_person_says_at_the_start_stands_over_the_inventory() -> None:
    inventory = load_inventory(b'{"gates": {"soak_s": 60, "approval": true}}')
    assert gates_of(Wish("X", (), "me"), inventory) == inventory.gates
    chosen = gates_of(Wish("X", (), "me", soak_s=0.0, approval=False), inventory)
    assert (chosen.soak_s, chosen.approval) == (0.0, False)
    with pytest.raises(FleetDoubt, match="greater than or equal to 0"):
        gates_of(Wish("X", (), "me", soak_s=-5.0), inventory)


def test_status_shows_everything_that_holds_with_since_when_and_by_whom(
    redis_client: redis.Redis, redis_url: str
) -> None:
    played = played_fleet(redis_client, approval=True, soak_s=600)
    rollout = played.begin()
    controller = played.controller()
    for _ in range(3):
        played.round(controller)
    now = played.clock.now()
    wish(played.store, rollout.id, Part(host="h2"), Wanted.PAUSE, "eve", "smoke", now)
    wish(played.store, rollout.id, Part(wave=2), Wanted.PAUSE, "bob", "lunch", now)
    played.round(controller)
    shown = xenroll(redis_url, "rollout", "status")
    said(shown, 0, "host h2 held by eve since", "h2 is paused: smoke", "wave 2 held by bob")
    said(shown, 0, "wave 2 held by approval since", "xenroll rollout approve xsa-1 --wave 2")
    view = json.loads(xenroll(redis_url, "rollout", "status", "--json").stdout)
    held = [(hold["what"], hold["by"]) for hold in view["holds"]]
    assert ("wave 2", "bob") in held and ("wave 2", "approval") in held
    assert ("wave 2", "wave before") in held and ("host h2", "eve") in held
    assert all(hold["since"] and hold["reason"] for hold in view["holds"])
    said(shown, 0, "waits for wave 1: h0 is not back")
    played.want(Wanted.ABORT)
    played.run(controller, rounds=300)
    assert played.head().state is RolloutState.ABORTED
    assert "wave 2 held" not in xenroll(redis_url, "rollout", "status").stdout, "it has ended"


def test_a_rollout_with_approvals_ends_when_they_are_given(redis_client: redis.Redis) -> None:
    played = played_fleet(redis_client, approval=True)
    rollout = played.begin()
    played.run(played.controller(), rounds=300)
    assert played.head().state is RolloutState.RUNNING
    for wave in (2, 3):
        approve(played.store, rollout.id, wave, "eve", "fine", played.clock.now())
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE


def test_a_rollout_that_has_ended_owns_no_host_even_if_its_controller_died_right_then(
    redis_client: redis.Redis,
) -> None:
    played = played_fleet(redis_client)
    rollout = played.begin()
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    redis_client.hset("xr:owner", "h1", rollout.id)  # as it stood before it gave its hosts back
    played.store.own("another", ["h1"])
    assert played.store.owners() == {"h1": "another"}


@pytest.mark.parametrize("rounds", [2, 4, 8, 30, 90])
def test_nothing_is_left_closed_or_owned_without_a_rollout(
    redis_client: redis.Redis, rounds: int
) -> None:
    played = played_fleet(redis_client, hooks={"after_drain": {"argv": ["false"]}})
    rollout = played.begin()
    controller = played.controller()
    played.run(controller, rounds=rounds)
    controller.outside.close()
    now = played.clock.now()
    wish(played.store, rollout.id, Part(wave=1), Wanted.ABORT, "eve", "", now)
    played.run(played.controller(), rounds=10)
    if played.head().state is RolloutState.RUNNING:
        played.want(Wanted.ABORT)
    last = played.controller()
    played.run(last)
    last.outside.close()
    assert played.head().state in (RolloutState.ABORTED, RolloutState.DONE)
    assert not any(h.closed for h in played.store.book(rollout.id).hosts.values())
    assert closed_hosts(redis_client) == []
    assert played.store.owners() == {}
