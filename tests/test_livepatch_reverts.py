"""Taking a live patch back through the agents: what becomes of the host, and of a rollout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from agents.keys import keys
from agents.wire import Kind
from scheduler.control import Controller
from scheduler.reverts import RevertState
from scheduler.rollout import HostState, RolloutState
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.revert_kit import WHY, asked, body, patched_fleet, reverts, rounds, row
from tests.service_kit import Served, served
from tests.sim import OLD

EVERYWHERE = {f"h{n}": ("xsa1",) for n in range(4)}


@pytest.fixture
def service(redis_client: redis.Redis) -> Iterator[Served]:
    """Every host was live-patched by an earlier rollout."""
    with served(redis_client, patched_fleet(redis_client, livepatches=EVERYWHERE)) as made:
        yield made


def exposure(service: Served, host: str = "h2") -> str:
    found = service.get("/advisories/XSA-1/hosts").json()["items"]
    return next(str(one["exposure"]) for one in found if one["host"] == host)


def test_a_reverted_live_patch_is_gone_and_its_host_is_exposed_again(service: Served) -> None:
    played = service.played
    controller = played.controller()
    rounds(played, controller, 2)
    assert exposure(service) == "livepatched"
    asked(service)
    assert row(service)["state"] == "reverting"
    rounds(played, controller)
    found = row(service)
    assert (found["state"], found["by"], found["note"]) == ("reverted", "t-on-call", WHY)
    assert played.sim.hosts["h2"].livepatches == ()
    assert exposure(service) == "exposed" and exposure(service, "h1") == "livepatched"
    assert [order.kind for _, order in played.sim.ordered] == [Kind.REVERT]


def test_nothing_is_left_of_its_order_when_it_is_over(service: Served) -> None:
    played = service.played
    controller = played.controller()
    name = asked(service)
    rounds(played, controller)
    assert played.client.hgetall(keys.orders("h2")) == {}
    assert played.client.hgetall(keys.claims("h2")) == {}
    assert not played.client.exists(keys.control(name))


@pytest.mark.parametrize("dies_after", [1, 2, 3, 4])
def test_another_controller_goes_on_where_one_died(service: Served, dies_after: int) -> None:
    played = service.played
    asked(service)
    rounds(played, played.controller(), dies_after)
    rounds(played, played.controller(), 12)
    assert row(service)["state"] == "reverted"
    assert len(played.sim.started) == 1


def test_what_lies_below_another_patch_stays_and_one_line_says_which(service: Served) -> None:
    played = service.played
    played.sim.shows("h2", livepatches=("xsa1", "xsa3"))
    controller = played.controller()
    rounds(played, controller, 2)
    asked(service)
    rounds(played, controller)
    found = row(service)
    assert (found["state"], found["revert_state"]) == ("applied", "failed")
    assert found["note"] == (
        "xsa1 is still applied on h2: Xen reverts only what was applied last; "
        "xsa3 is applied, too: revert that first"
    )
    asked(service, payload="xsa3")
    rounds(played, controller)
    asked(service)
    rounds(played, controller)
    assert row(service)["state"] == "reverted" == row(service, payload="xsa3")["state"]


REFUSALS = [
    (body(payload="xsa9"), Role.ON_CALL, 409, "xsa9 is not applied on h2"),
    (body(host="h9"), Role.ON_CALL, 404, "there is no host h9"),
    (body(payload="-rf"), Role.ON_CALL, 422, "payload"),
    (body(reason="x"), Role.ON_CALL, 422, "reason"),
    (body(), Role.VIEWER, 403, "on-call"),
]


@pytest.mark.parametrize(("wish", "role", "status", "said"), REFUSALS)
def test_a_revert_that_makes_no_sense_is_refused_and_starts_nothing(
    service: Served, wish: dict[str, str], role: Role, status: int, said: str
) -> None:
    played = service.played
    controller = played.controller()
    rounds(played, controller, 2)
    answer = service.post("/livepatches/actions/revert", wish, role)
    assert answer.status_code == status and said in answer.text
    rounds(played, controller, 3)
    assert reverts(controller) == [] and played.sim.ordered == []


def test_one_revert_of_a_payload_is_under_way_at_a_time(service: Served) -> None:
    asked(service)
    again = service.post("/livepatches/actions/revert", body())
    assert again.status_code == 409
    assert "xsa1 on h2 is being reverted already, for t-on-call" in again.text


def test_a_host_whose_agent_cannot_revert_is_refused_by_name(service: Served) -> None:
    played = service.played
    raw = played.client.get(keys.report("h2"))
    assert isinstance(raw, bytes)
    played.client.set(keys.report("h2"), raw.replace(b'"reverts":true', b'"reverts":false'))
    answer = service.post("/livepatches/actions/revert", body())
    assert answer.status_code == 409
    assert "the agent of h2 is too old to revert a live patch" in answer.text


def test_a_host_that_does_not_take_it_up_is_told_nothing_later(service: Served) -> None:
    played = service.played
    controller = played.controller()
    rounds(played, controller, 2)
    asked(service)
    played.mute.add("h2")
    for _ in range(60):  # five minutes without a sign of it
        controller.tick()
        played.pass_time(5.0)
        played.publish()
    [found] = reverts(controller)
    assert found.state is RevertState.FAILED
    assert found.outcome == "h2 did not take it up in time: nothing was started"
    played.mute.clear()
    rounds(played, controller)
    assert played.sim.ordered == [] and row(service)["state"] == "applied"


def test_what_no_controller_took_up_in_time_is_not_begun_hours_later(service: Served) -> None:
    played = service.played
    asked(service)
    played.pass_time(3600)
    played.publish()
    rounds(played, played.controller())
    assert "no controller took it up in time" in row(service)["note"]
    assert played.sim.ordered == []


def test_no_rollout_loads_it_again_until_somebody_allows_it(service: Served) -> None:
    played = service.played
    controller = played.controller()
    asked(service)
    rounds(played, controller)
    choice = reason_of(played, service)
    assert choice == f"reboot for XSA-1: live patch xsa1 was reverted by t-on-call: {WHY}"
    denied = service.post("/livepatches/actions/allow", body(reason="it was the disk"))
    assert denied.status_code == 403
    allowed = service.post("/livepatches/actions/allow", body(reason="it was"), Role.SECURITY)
    assert allowed.json()["kept"] == "xsa1 on h2: the next plan may load it again"
    assert "live patch xsa1: fits build" in reason_of(played, service)
    again = service.post("/livepatches/actions/allow", body(reason="it was"), Role.SECURITY)
    assert again.status_code == 409 and "was not reverted" in again.text


def reason_of(played: RedisFleet, service: Served) -> str:
    """Why a plan that was made now would do what it would do about h2."""
    from scheduler.fleet_view import Scope
    from scheduler.revert_store import RevertStore

    kept = RevertStore(played.client).withheld()
    policy, known = played.sim.fleet.policy, played.sim.advisories
    scope = Scope((), policy, advisories=known, livepatch=True, withheld=kept)
    return scope.choice(played.sim.look(played.sim.hosts["h2"])).reason


def test_a_rollout_under_way_reboots_the_host_that_lost_its_patch_and_loads_nothing_there(
    redis_client: redis.Redis,
) -> None:
    played = patched_fleet(redis_client, patch_exits={"h3": [1]})  # h3 is rebooted: it lasts
    played.begin()
    controller = played.controller()
    with served(redis_client, played) as service:
        while not all(fixed_in_a_new_plan(controller, name) for name in ("h0", "h1", "h2")):
            played.round(controller)
        asked(service)
        played.run(controller, 600)
    book = controller.books[played.store.ids()[-1]]
    assert book.rollout.state is RolloutState.DONE
    loads = [o for _, o in played.sim.ordered if o.kind is Kind.LIVEPATCH and o.host == "h2"]
    assert len(loads) == 1, "it is not loaded again"
    assert played.sim.hosts["h2"].boot == 2 and played.sim.hosts["h2"].build != OLD
    texts = [one.text for one in played.store.happenings(book.rollout.id, 500)]
    assert any("h2 is exposed again: reboot for XSA-1: live patch xsa1 was" in t for t in texts)
    assert any(f"by t-on-call: {WHY}; it is not loaded on h2 until" in t for t in texts)


def fixed_in_a_new_plan(controller: Controller, host: str) -> bool:
    """Whether what is left was planned anew, and this host is not part of that."""
    [book] = controller.books.values() or [None]
    if book is None or book.rollout.generation == 1:
        return False
    return book.rollout.state is RolloutState.RUNNING and book.hosts[host].state is HostState.FIXED
