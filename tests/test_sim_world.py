"""What the stories' world does not let pass: the witness of every story sees what must not be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agents.wire import AttemptState, Kind, MendAction, Order
from tests.make import fleet, guest, host
from tests.sim import NEW
from tests.sim_endings import NEVER_RAN, RUNS, SUSPENDED
from tests.sim_world import World


def world(**policy: Any) -> World:
    hosts = [host("h0", gib=8), host("h1", gib=8), host("h2", gib=8)]
    guests = [guest("g0", "h0", gib=2), guest("g1", "h0", gib=2), guest("g2", "h1", gib=7)]
    return World(fleet(hosts, guests, **{"max_hosts_away": 1} | policy))


def order(kind: Kind, host: str, number: int = 1, **more: Any) -> Order:
    name = f"a-{kind}-{host}-{number}"
    return Order(
        attempt_id=name, rollout_id="r", step_id="s", epoch=1, kind=kind, host=host, **more
    )


def state(seen: World, of: Order) -> AttemptState:
    attempt = seen.attempt(of.attempt_id)
    assert attempt is not None
    return attempt.state


def after(seen: World, seconds: float) -> None:
    seen.go_on_to(seen.now + timedelta(seconds=seconds))


def test_a_host_with_guests_does_not_reboot_whatever_it_is_told() -> None:
    seen = world()
    told = order(Kind.REBOOT, "h0")
    seen.start(told)
    assert state(seen, told) is AttemptState.REFUSED
    assert "not empty" in seen.refusals[0]
    assert seen.hosts["h0"].up


def test_a_host_that_a_guest_is_on_its_way_to_does_not_reboot() -> None:
    seen = world()
    seen.start(order(Kind.MOVE, "h0", guest="g0", destination="h2"))
    told = order(Kind.REBOOT, "h2")
    seen.start(told)
    assert state(seen, told) is AttemptState.REFUSED


def test_more_hosts_away_than_granted_are_seen() -> None:
    seen = world()
    seen.hosts["h1"].domains.clear()
    seen.start(order(Kind.REBOOT, "h2"))
    seen.start(order(Kind.REBOOT, "h1"))
    assert seen.wrongs == ["h2, h1 are away, which is more than the policy grants"]
    after(seen, 1000)
    assert {seen.hosts[name].build for name in ("h1", "h2")} == {NEW}


def test_a_guest_that_is_sent_where_it_has_no_room_is_seen_and_stays() -> None:
    seen = world()
    seen.start(order(Kind.MOVE, "h0", guest="g0", destination="h1"))
    assert seen.wrongs == ["g0 is sent to h1, which has no room for it"]
    after(seen, 100)
    assert seen.runs_on("g0") == ["h0"]


def test_too_many_moves_at_once_are_seen() -> None:
    seen = world(max_moves_out_per_host=1, max_moves_in_per_host=1)
    seen.start(order(Kind.MOVE, "h0", guest="g0", destination="h2"))
    seen.start(order(Kind.MOVE, "h0", 2, guest="g1", destination="h2"))
    assert [text.split(" at once")[0] for text in seen.wrongs] == [
        "more moves out of h0",
        "more moves to h2",
    ]


def test_a_shutdown_that_its_owner_never_agreed_to_is_seen() -> None:
    seen = world()
    seen.start(order(Kind.STOP, "h0", guest="g0"))
    assert seen.wrongs == ["g0 is shut down, and its owner never agreed"]


def test_a_guest_that_runs_twice_is_seen() -> None:
    seen = world()
    seen._boot_guest(seen.guests["g0"], "h2")
    seen.look_around()
    assert seen.wrongs == ["g0 runs on h0 and h2"]


def test_a_copy_that_ran_is_not_destroyed_unseen() -> None:
    seen = world()
    domid = seen.hosts["h0"].domains["g0"].domid
    action = MendAction.DESTROY_INCOMING
    seen.start(order(Kind.MEND, "h0", guest="g0", mend=action, domid=domid))
    after(seen, 10)
    assert seen.wrongs == ["g0 on h0 is destroyed, and it had run"]


def test_the_only_copy_is_not_destroyed_unseen() -> None:
    seen = world()
    domain = seen.hosts["h0"].domains["g0"]
    seen.hosts["h0"].domains["g0"] = domain.model_copy(update={"state": SUSPENDED})
    action = MendAction.DESTROY_SOURCE
    seen.start(order(Kind.MEND, "h0", guest="g0", mend=action, domid=domain.domid))
    after(seen, 10)
    assert seen.wrongs == ["g0 on h0 is destroyed, and may be the only one"]


def test_half_a_copy_that_never_ran_may_be_destroyed() -> None:
    seen = world()
    seen._leave(seen.guests["g0"], "h2", NEVER_RAN, None)
    (left,) = seen.hosts["h2"].domains.values()
    action = MendAction.DESTROY_INCOMING
    seen.start(order(Kind.MEND, "h2", guest="g0", mend=action, domid=left.domid))
    after(seen, 10)
    assert not seen.wrongs and not seen.hosts["h2"].domains


def test_what_a_host_had_under_way_when_its_power_went_is_not_known_afterwards() -> None:
    seen = world()
    told = order(Kind.MOVE, "h0", guest="g0", destination="h2")
    seen.start(told)
    seen.lose_power("h0")
    after(seen, 100)
    seen.power_on("h0")
    assert state(seen, told) is AttemptState.UNKNOWN
    assert seen.runs_on("g0") == []


def test_a_guest_that_restarts_during_its_move_stays_where_it_is() -> None:
    seen = world()
    told = order(Kind.MOVE, "h0", guest="g0", destination="h2")
    seen.start(told)
    seen.restart("g0", 1)
    after(seen, 100)
    assert seen.runs_on("g0") == ["h0"]
    assert seen.hosts["h0"].domains["g0"].state == RUNS
    attempt = seen.attempt(told.attempt_id)
    assert attempt is not None and "has been destroyed" in attempt.output_tail
