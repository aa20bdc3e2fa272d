"""`xenroll crash …` and `xenroll class …`: what they print, and with which code they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis

from scheduler.guest_hours import Group
from scheduler.rollout import Hold
from scheduler.watch_store import Saving, WatchStore
from scheduler.watched import Cause, ClassKey, ClassMark, Ending, Trial
from tests.test_cli_rollout import said, xenroll

NOW = datetime.now(UTC)
OLD = ClassKey(guest_class="pv 3.10-i386", build_from="4.17.4 aa", build_to="4.17.5 bb")
NEVER = ClassKey(guest_class="pv 3.10-i386")
UUID = "00000000-0000-0000-0000-000000000001"


def trial(number: int, *, failed: bool) -> Trial:
    moved_at = NOW - timedelta(hours=5)
    return Trial(
        id=f"xsa-1-g1-{number}-a1",
        rollout="xsa-1",
        guest=f"db-{number}",
        uuid=UUID,
        key=OLD,
        host="h1",
        moved_at=moved_at,
        ended_at=moved_at if failed else None,
        cause=Cause.CRASHED if failed else None,
        in_soak=failed,
        quiet="" if failed or number else "CPU time stood still for 120 s or longer",
    )


def ending(number: int, cause: Cause, *, moved: bool, soak: bool = False) -> Ending:
    return Ending(
        id=f"e{number}",
        at=NOW - timedelta(hours=1),
        guest=f"db-{number}",
        uuid=UUID,
        key=OLD if moved else NEVER,
        host="h1",
        cause=cause,
        reason="its kernel crashed",
        trial=f"xsa-1-g1-{number}-a1" if moved else None,
        after_s=120.0 if moved else None,
        in_soak=soak,
        owner="shop team",
    )


@pytest.fixture
def watched(redis_client: redis.Redis) -> WatchStore:
    """Ten moves, two crashes in the soak time, eight later ones, one of a guest never moved."""
    store = WatchStore(redis_client, "test")
    hold = Hold(reason="2 of 10 moved guests crashed", since=NOW, by="xenroll")
    seen: dict[Group, int] = {("moved", OLD): 36_000_000_000, ("other", NEVER): 72_000_000_000}
    later = [ending(n, Cause.CRASHED, moved=True) for n in range(3, 11)]
    store.save(
        Saving(
            NOW,
            trials=[trial(n, failed=n < 2) for n in range(10)],
            endings=[
                ending(1, Cause.CRASHED, moved=True, soak=True),
                ending(2, Cause.REBOOTED, moved=True),
                *later,
                ending(90, Cause.CRASHED, moved=False),
                ending(91, Cause.UNKNOWN, moved=False),
            ],
            marks=[ClassMark(guest_class=OLD.guest_class, quarantine=hold)],
            seen_ms=seen,
        )
    )
    return store


def test_crashes_are_listed_with_owner_move_and_reason(redis_url: str, watched: WatchStore) -> None:
    table = xenroll(redis_url, "crash", "list")
    said(table, 0, "db-1", "shop team", "crashed", "0:02:00", "its kernel crashed")
    said(table, 0, "8 moved guests are watched now")
    assert "rebooted" not in table.stdout
    said(xenroll(redis_url, "crash", "list", "--all"), 0, "rebooted")
    found = json.loads(xenroll(redis_url, "crash", "list", "-o", "json").stdout)
    assert len(found["endings"]) == 11 and found["watched"] == 8


def test_nothing_to_list_is_said_in_words(redis_url: str) -> None:
    said(xenroll(redis_url, "crash", "list"), 0, "no guest crashed in the last 30 days")
    said(xenroll(redis_url, "crash", "compare"), 0, "nothing can be said")
    assert json.loads(xenroll(redis_url, "class", "list", "-o", "json").stdout) == []


def test_the_comparison_gives_ratio_interval_and_plain_words(
    redis_url: str, watched: WatchStore
) -> None:
    text = xenroll(redis_url, "crash", "compare")
    said(text, 0, "Moved guests crash more often later than others", "pv 3.10-i386", "hazard ratio")
    said(text, 0, "endings of unknown cause, not counted: 1")
    found = json.loads(xenroll(redis_url, "crash", "compare", "-o", "json").stdout)
    assert found["ratio"] == pytest.approx(16.0)  # 8 in 10,000 hours, 1 in 20,000
    assert found["low"] > 1 and found["high"] > found["ratio"]
    more = json.loads(xenroll(redis_url, "crash", "compare", "-o", "json", "--with-unknown").stdout)
    assert more["ratio"] == pytest.approx(8.0)


def test_a_class_is_listed_with_its_interval_and_released_with_a_reason(
    redis_url: str, watched: WatchStore
) -> None:
    said(xenroll(redis_url, "class", "list"), 0, "pv 3.10-i386", "quarantined since", "2.5 to 56 %")
    (view,) = json.loads(xenroll(redis_url, "class", "list", "-o", "json").stdout)
    assert (view["moved"], view["crashed"], view["guest_hours"]) == (10, 2, 10_000.0)
    refused = xenroll(redis_url, "class", "release", "pvh 6.1", "--reason", "fixed")
    said(refused, 1, "class pvh 6.1 is not quarantined; quarantined: pv 3.10-i386")
    said(xenroll(redis_url, "class", "release", "pv 3.10-i386", "--reason", " "), 2, "--reason")
    done = xenroll(redis_url, "class", "release", "pv 3.10-i386", "--reason", "kernel fixed")
    said(done, 0, "class pv 3.10-i386 released")
    said(xenroll(redis_url, "class", "list"), 0, "released by", "kernel fixed")
    said(xenroll(redis_url, "crash", "list"), 0, "released: class pv 3.10-i386")


def test_a_quarantined_class_is_listed_also_where_its_moves_are_forgotten(
    redis_url: str, redis_client: redis.Redis
) -> None:
    hold = Hold(reason="2 of 5 moved guests crashed", since=NOW, by="xenroll")
    mark = ClassMark(guest_class="hvm kernel-unknown arch-unknown", quarantine=hold)
    WatchStore(redis_client, "test").save(Saving(NOW, marks=[mark]))
    listed = xenroll(redis_url, "class", "list")
    said(listed, 0, "hvm kernel-unknown arch-unknown", "quarantined since", "2 of 5")
    assert "to 100 %" not in listed.stdout, "nothing was seen of its moves"


def test_a_save_that_is_repeated_after_a_lost_reply_counts_nothing_twice(
    redis_client: redis.Redis, watched: WatchStore
) -> None:
    before = watched.hours()
    again = Saving(NOW, seen_ms={("moved", OLD): 3_600_000}, past=[trial(5, failed=False)])
    watched.save(again)
    once = (watched.hours(), watched.past(), len(watched.trials()))
    watched._number -= 1  # as if the first reply had been lost
    watched.save(again)
    assert (watched.hours(), watched.past(), len(watched.trials())) == once
    assert sum(h.hours for h in watched.hours()) == sum(h.hours for h in before) + 1
