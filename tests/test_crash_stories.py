"""Guests that crash after their move, in virtual time, through the real controller and a server."""

from __future__ import annotations

import pytest
import redis

from agents.wire import Kind, Wanted
from scheduler.control import Controller
from scheduler.fleet_view import Scope
from scheduler.late_wave import BY as LATE
from scheduler.limits import Limits
from scheduler.planning import plan_fleet
from scheduler.progress import progress
from scheduler.quarantine import left_alone
from scheduler.rollout import Hold, HostState, RolloutState, Step
from scheduler.watch_store import WatchStore
from scheduler.watched import Cause, ClassMark, Ending
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW

DAY_S = 86_400.0


def played(client: redis.Redis, **sim: object) -> RedisFleet:
    """Four hosts; eight guests of class old-kernel, eight of new-kernel."""
    hosts = [host(f"h{n}", gib=32) for n in range(4)]
    guests = [guest(f"o{n}", f"h{n % 4}", gib=2, guest_class="old-kernel") for n in range(8)]
    guests += [guest(f"n{n}", f"h{n % 4}", gib=2, guest_class="new-kernel") for n in range(8)]
    return RedisFleet(client, fleet(hosts, guests, canary_hosts=1, gates="canary"), **sim)


def begun(client: redis.Redis, limits: Limits | None = None) -> tuple[RedisFleet, Controller]:
    """A rollout over them that has just begun, and who leads it."""
    fleet = played(client)
    fleet.begin()
    return fleet, fleet.controller(limits)


def go_on(fleet: RedisFleet, controller: Controller, seconds: float, step_s: float = 5.0) -> None:
    for _ in range(int(seconds / step_s)):
        fleet.round(controller, step_s)


def until_moved(fleet: RedisFleet, controller: Controller, number: int = 1) -> list[str]:
    """Rounds until so many guests have been moved; their names."""
    for _ in range(2000):
        fleet.round(controller)
        trials = WatchStore(fleet.client, "test").trials()
        if len({trial.guest for trial in trials}) >= number:
            return sorted({trial.guest for trial in trials})
    raise AssertionError("nothing was moved")


def endings(fleet: RedisFleet) -> list[Ending]:
    return WatchStore(fleet.client, "test").endings()


def test_the_log_of_xl_tells_a_crash_from_a_reboot_that_the_guest_asked_for(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = begun(redis_client)
    names = until_moved(fleet, controller, 3)
    go_on(fleet, controller, 10)
    fleet.sim.restart(names[0], reason_code=3)
    fleet.sim.restart(names[1], reason_code=1)
    fleet.sim.power_off(names[2], reason_code=0)
    go_on(fleet, controller, 20)
    causes = {ending.guest: ending.cause for ending in endings(fleet)}
    assert causes[names[0]] is Cause.CRASHED
    assert causes[names[1]] is Cause.REBOOTED
    assert causes[names[2]] is Cause.SHUT_DOWN
    book = fleet.store.book(fleet.head().id)
    crashed = [record.name for record in book.guests.values() if record.crashed]
    assert crashed == [names[0]], "what its owner does is no crash"


def just_moved(fleet: RedisFleet, controller: Controller) -> Step:
    """Rounds until the end of a move is written down, and no more than that."""
    for _ in range(2000):
        fleet.round(controller)
        for step in fleet.store.book(fleet.head().id).steps.values():
            if step.outcome == "moved":
                return step
    raise AssertionError("nothing was moved")


def test_a_guest_that_crashes_right_after_its_move_is_noticed_by_the_next_controller(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = begun(redis_client)
    step = just_moved(fleet, controller)
    assert not WatchStore(redis_client, "test").trials(), "the first one dies before it writes this"
    fleet.sim.restart(step.guest or "", reason_code=3)
    fleet.publish()
    go_on(fleet, fleet.controller(), 30)
    (ending,) = endings(fleet)
    assert (ending.guest, ending.cause) == (step.guest, Cause.CRASHED)
    assert fleet.store.book(fleet.head().id).guests[step.guest or ""].crashed


def test_a_crash_two_days_later_is_no_matter_of_the_budget_but_is_compared(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = begun(redis_client)
    fleet.run(controller)
    assert fleet.head().state is RolloutState.DONE
    go_on(fleet, controller, 2 * DAY_S, step_s=600)
    fleet.sim.restart("o3", reason_code=3)
    go_on(fleet, controller, 1200, step_s=600)
    (ending,) = endings(fleet)
    assert (ending.guest, ending.in_soak, ending.cause) == ("o3", False, Cause.CRASHED)
    assert ending.trial is not None and ending.after_s is not None
    assert ending.after_s > 1.9 * DAY_S
    hours = WatchStore(redis_client, "test").hours()
    moved_h = sum(one.hours for one in hours if one.group == "moved")
    assert 15 * 48 < moved_h < 16 * 50, "sixteen guests, two days and a rollout"
    after = sum(one.hours for one in hours if one.group == "other")
    assert 0 < after < 16


def bad_class(fleet: RedisFleet, controller: Controller, rounds: int = 2000) -> None:
    """Every guest of the old kernel crashes a minute after it was moved."""
    due: dict[str, float] = {}
    for _ in range(rounds):
        fleet.round(controller)
        for trial in WatchStore(fleet.client, "test").trials():
            if trial.key.guest_class == "old-kernel" and trial.ended_at is None:
                due.setdefault(trial.id, fleet.clock.monotonic() + 60)
                if due[trial.id] <= fleet.clock.monotonic():
                    due[trial.id] = float("inf")
                    fleet.sim.restart(trial.guest, reason_code=3)
        if fleet.head().state in (RolloutState.DONE, RolloutState.STOPPED) or only_late(fleet):
            return


def only_late(fleet: RedisFleet) -> bool:
    """Whether the rollout waits for a person's word about a class, and for nothing else."""
    head = fleet.head()
    held_by = head.hold.by if head.hold else ""
    return head.state is RolloutState.RUNNING and held_by == LATE


LENIENT = Limits(crash_budget=0.9)
"""So that only the class breaks its budget, and not the small rollout as a whole."""


def test_a_class_that_crashes_is_quarantined_and_the_rest_goes_on(
    redis_client: redis.Redis,
) -> None:
    fleet, controller = begun(redis_client, LENIENT)
    bad_class(fleet, controller)
    store = WatchStore(redis_client, "test")
    mark = store.marks()["old-kernel"]
    assert mark.quarantine is not None and "moved guests crashed" in mark.quarantine.reason
    assert set(store.marks()) == {"old-kernel"}
    book = fleet.store.book(fleet.head().id)
    assert only_late(fleet)
    assert book.rollout.quarantined == ("old-kernel",)
    at = mark.quarantine.since
    late = [o for when, o in fleet.sim.ordered if o.kind is Kind.MOVE and when > at]
    assert not [order for order in late if (order.guest or "").startswith("o")]
    late_hosts = [h for h in book.hosts.values() if h.state is HostState.WAITING]
    (rest,) = progress(book, fleet.clock.now()).quarantined
    assert rest.guest_class == "old-kernel" and len(rest.guests) >= 6
    assert {one.name for one in late_hosts} == set(rest.waiting) <= set(rest.hosts)
    assert late_hosts, "hosts that carry the class are left alone"
    assert all("class old-kernel is quarantined" in one.reason for one in late_hosts)
    assert {one.wave for one in late_hosts} == {max(book.waves)}, "behind all others"
    assert all(h.state is HostState.FIXED for h in book.hosts.values() if h not in late_hosts)


def test_a_quarantine_outlives_its_rollout(redis_client: redis.Redis) -> None:
    fleet, controller = begun(redis_client, LENIENT)
    bad_class(fleet, controller)
    first = fleet.head()
    fleet.want(Wanted.ABORT)
    fleet.run(controller)
    fleet.sim.build_anew()
    fleet.publish()
    second = fleet.begin()
    assert second.id != first.id
    count = len(fleet.sim.ordered)
    for _ in range(2000):
        fleet.round(controller)
        if only_late(fleet):
            break
    assert only_late(fleet)
    assert fleet.head().quarantined == ("old-kernel",)
    moves = [o for _, o in fleet.sim.ordered[count:] if o.kind is Kind.MOVE]
    assert not [o for o in moves if (o.guest or "").startswith("o")]


def test_the_first_plan_of_a_rollout_leaves_a_quarantined_class_alone(
    redis_client: redis.Redis,
) -> None:
    fleet = played(redis_client)
    hold = Hold(reason="2 of 5 crashed", since=fleet.clock.now(), by="xenroll")
    marks = {"old-kernel": ClassMark(guest_class="old-kernel", quarantine=hold)}
    reports = [fleet.sim.look(one) for one in fleet.sim.hosts.values()]
    resting = left_alone(marks, reports, fleet.sim.inventory)
    assert sorted(resting.guests) == [f"o{n}" for n in range(8)]
    assert resting.holds == {"old-kernel": hold}
    scope = Scope((NEW,), fleet.sim.fleet.policy, resting.guests)
    planned, _ = plan_fleet(reports, fleet.sim.inventory, scope, fleet.clock.now())
    assert not [step for step in planned.plan.steps if (step.guest or "").startswith("o")]
    assert len(planned.plan.blocked) == 4


def test_more_later_crashes_of_moved_guests_raise_an_alarm(redis_client: redis.Redis) -> None:
    fleet = played(redis_client)
    controller = fleet.controller()
    go_on(fleet, controller, 20 * DAY_S, step_s=3600)
    fleet.begin()
    fleet.run(controller)
    assert fleet.head().state is RolloutState.DONE
    for name in ("o1", "o4", "n2", "o6", "n5"):
        go_on(fleet, controller, 0.2 * DAY_S, step_s=3600)
        fleet.sim.restart(name, reason_code=3)
    go_on(fleet, controller, 7200, step_s=3600)
    events = WatchStore(redis_client, "test").events(20)
    assert [event.kind for event in events][-1] == "alarm"
    assert "hazard ratio" in events[-1].text


def test_what_is_watched_no_more_is_still_counted(redis_client: redis.Redis) -> None:
    fleet, controller = begun(redis_client, Limits(watch_days=2))
    fleet.run(controller)
    store = WatchStore(redis_client, "test")
    number = len(store.trials())
    go_on(fleet, controller, 3 * DAY_S, step_s=3600)
    assert store.trials() == []
    past = store.past()
    assert sum(counts["moved"] for counts in past.values()) == number
    for controller in (fleet.controller(), fleet.controller()):
        go_on(fleet, controller, 600, step_s=60)
    assert store.past() == past, "a restart counts nothing twice"


@pytest.mark.parametrize("seconds", [100.0, 200.0])
def test_a_clock_that_stands_still_is_a_hint_and_no_crash(
    redis_client: redis.Redis, seconds: float
) -> None:
    fleet, controller = begun(redis_client)
    name = until_moved(fleet, controller)[0]
    fleet.sim.still.add(name)
    go_on(fleet, controller, seconds)
    quiet = {trial.guest for trial in WatchStore(redis_client, "test").trials() if trial.quiet}
    assert quiet == ({name} if seconds > 130 else set())
    assert endings(fleet) == []
