"""xl's monitors in the stand-in: what an agent sees of them through a guest's life."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agents.settle import Outcome
from scheduler.standin import boot, lifecycle
from scheduler.standin.fault_table import inject
from scheduler.standin.store import Change, read_state
from tests.agents_pair import Pair
from tests.waiting import until


@pytest.fixture
def pair(tmp_path: Path, redis_client: redis.Redis) -> Iterator[Pair]:
    made = Pair(tmp_path, redis_client)
    yield made
    for host in ("n1", "n2"):
        boot.kill_processes(made.world, host)


def watched(pair: Pair, host: str) -> bool | None:
    (guest,) = pair.look(host).guests
    return guest.monitored


def processes(pair: Pair, host: str) -> list[str]:
    return [name for name in os.listdir(f"{root(pair, host)}/proc") if name.isdecimal()]


def root(pair: Pair, host: str) -> str:
    return f"{pair.world.host_dir(host)}/root"


def ended(pair: Pair, host: str, reason: int) -> None:
    """The guest ends on its own."""
    with Change(pair.world, host) as change:
        (domain,) = (d for d in change.state["domains"] if d["domid"])
        lifecycle.shut_down(change.state, domain, reason, change.now, change.note)


def killed(pair: Pair, host: str) -> None:
    """Somebody kills the guest's monitor."""
    with Change(pair.world, host) as change:
        for domain in change.state["domains"]:
            domain["monitored"] = False


def test_a_guest_that_moves_leaves_its_monitor_behind_and_gets_another(pair: Pair) -> None:
    assert watched(pair, "n1") is True
    assert pair.moves()[1].outcome is Outcome.MOVED
    assert watched(pair, "n2") is True
    assert (len(processes(pair, "n1")), len(processes(pair, "n2"))) == (0, 1)
    log = Path(root(pair, "n2"), "var/log/xen/xl-db--incoming.log").read_text()
    assert log.startswith("Waiting for domain db--incoming (domid 1) to die [pid ")


def test_a_guest_that_was_resumed_after_a_failed_move_is_watched_by_nobody_until_it_moves(
    pair: Pair,
) -> None:
    inject(pair.world, "db", "unpause-fails", count=1)
    assert pair.moves()[1].outcome is Outcome.STAYED
    assert watched(pair, "n1") is False
    assert pair.moves()[1].outcome is Outcome.MOVED
    assert watched(pair, "n2") is True


def test_a_guest_that_was_never_suspended_keeps_its_monitor(pair: Pair) -> None:
    inject(pair.world, "db", "stream-write-fails", count=1)
    assert pair.moves()[1].outcome is Outcome.STAYED
    assert watched(pair, "n1") is True


def test_a_monitor_that_is_killed_on_arrival_is_missed(pair: Pair) -> None:
    inject(pair.world, "db", "monitor-killed", count=1)
    assert pair.moves()[1].outcome is Outcome.MOVED
    assert watched(pair, "n2") is False


def test_a_monitor_that_makes_its_guest_anew_goes_on(pair: Pair) -> None:
    before = processes(pair, "n1")
    ended(pair, "n1", lifecycle.REBOOT)
    until(lambda: bool(pair.look("n1").guests) and watched(pair, "n1") is True, "it is back")
    assert processes(pair, "n1") == before
    assert pair.look("n1").guests[0].domid == 2


def test_a_guest_without_a_monitor_stays_as_it_ended(pair: Pair) -> None:
    killed(pair, "n1")
    assert watched(pair, "n1") is False
    ended(pair, "n1", lifecycle.REBOOT)
    pair.world.sleep(lifecycle.RESTART_S + 1)
    assert [(d.domid, d.state) for d in pair.look("n1").domains if d.domid] == [(1, "---sr-")]


def test_nothing_is_left_of_monitors_when_the_power_goes(pair: Pair) -> None:
    boot.power_off(pair.world, "n1")
    assert processes(pair, "n1") == [] == read_state(pair.world, "n1")["monitors"]
    assert boot.finish_reboot(pair.world, "n1")
    assert processes(pair, "n1") == []
