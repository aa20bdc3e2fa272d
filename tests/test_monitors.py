"""Guests that xl does not watch any more: told once, shown while it lasts, and left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from scheduler.monitors import follow
from scheduler.notify.event import Severity, severity_of
from scheduler.progress import progress
from scheduler.show_screen import held_lines
from scheduler.watch_store import WatchStore
from scheduler.watched import Life
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import START, Sim

LIFE = Life(name="g0", uuid="u", boot_id="b", domid=4, guest_class="pv")


def seen(*monitored: bool | None) -> Life:
    """Its life, after looks that found this, half a minute after each other."""
    sim = Sim(fleet([host("h0"), host("h1")], [guest("g0", "h0")]))
    (shown,) = sim.look(sim.hosts["h0"]).guests
    life: Life | None = None
    for number, one in enumerate(monitored):
        at = START + timedelta(seconds=30 * number)
        life = follow(life, LIFE, shown.model_copy(update={"monitored": one}), at)
    assert life is not None
    return life


@pytest.mark.parametrize(
    ("looks", "alone"),
    [
        ((True, True, True, True), False),
        ((None, None, None, None), False),  # an older agent, libvirt, `create -e`
        ((True, False, False), False),
        ((True, False, False, False), True),
        ((False, False, False), True),  # the controller has only just begun to look
        ((True, False), False),  # it may be ending, or restarting
        ((False, False, True, False, False), False),
        ((False, None, False), True),  # nobody could tell in between
        ((False, False, False, None, None), True),
        ((False, False, False, True), False),
    ],
)
def test_a_monitor_is_missing_when_it_was_gone_for_a_minute(
    looks: tuple[bool | None, ...], alone: bool
) -> None:
    assert seen(*looks).alone is alone


def test_since_when_it_is_missing_is_kept_and_goes_when_it_is_back() -> None:
    assert seen(True, False, False, False).alone_since == START + timedelta(seconds=30)
    assert seen(False, False, False, True).alone_since is None


def played(client: redis.Redis) -> RedisFleet:
    """Three hosts; h0 alone needs a reboot, and g9 stays on h1 for good."""
    hosts = [host(f"h{n}", reboot=n == 0) for n in range(3)]
    return RedisFleet(client, fleet(hosts, [guest("g0", "h0"), guest("g9", "h1")]))


def lines(fleet: RedisFleet, *kinds: str) -> list[str]:
    return [
        f"{h.kind}: {h.text}"
        for h in fleet.store.happenings(fleet.head().id, 500)
        if h.kind in kinds
    ]


@pytest.mark.slow
def test_it_is_told_once_by_whichever_controller_and_nothing_else_comes_of_it(
    redis_client: redis.Redis,
) -> None:
    one = played(redis_client)
    one.begin()
    one.sim.kill_monitor("g9")
    for _ in range(6):
        controller = one.controller()
        for _ in range(6):
            one.round(controller)
    found = lines(one, "unmonitored", "monitored", "crashed", "stopped", "held")
    assert len(found) == 1 and found[0].startswith("unmonitored: g9 runs on h1 without xl's")
    assert [e.kind for e in WatchStore(redis_client, "judge").events(9)] == ["unmonitored"]
    assert "g9" in one.sim.hosts["h1"].domains
    view = progress(one.store.book(one.head().id), one.clock.now())
    assert [h.what for h in view.unmonitored] == ["guest g9"] and not view.crashed
    (line,) = [line for line in held_lines(view) if "g9" in line]
    assert line.startswith("guest g9 since ") and "a move, or a restart" in line


def test_somebody_should_look_during_the_day() -> None:
    assert severity_of("unmonitored") is Severity.WARNING
    assert severity_of("monitored") is Severity.INFO
