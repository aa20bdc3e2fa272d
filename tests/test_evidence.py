"""`xenroll guest evidence`: what the copies of a guest prove, and what a person may do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from agents.copies import Condition, Role
from scheduler.evidence import Shown, Tried, judge
from scheduler.evidence_look import Waits, evidence
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.test_cli_rollout import said, xenroll


def shown(where: str, condition: Condition, **facts: object) -> Shown:
    given = {"host": where, "domid": 3, "name": "g1", "condition": condition, "role": Role.OWN}
    given |= {"cpu_time_s": 7.0, "cpu_grew_s": 1.0, "xen": "4.17"}
    return Shown.model_validate(given | facts)


def incoming(where: str) -> Shown:
    named = {"name": "g1--incoming", "role": Role.INCOMING, "domid": 9}
    return shown(where, Condition.PAUSED, **named, cpu_time_s=0.0, cpu_grew_s=0.0)


def tried(tail: str = "") -> Tried:
    return Tried(
        rollout_id="r",
        step_id="g1-1",
        source="h0",
        destination="h1",
        state="settling",
        reason="",
        exit_code=1,
        output_tail=tail,
    )


def advice_on(*found: Shown, unseen: tuple[str, ...] = (), tail: str = "") -> tuple[str, str]:
    finding, advice = judge("g1", found, unseen, tried(tail))
    return finding, "\n".join(advice)


def test_two_copies_that_ran_are_paused_first_and_none_is_called_the_right_one() -> None:
    finding, advice = advice_on(shown("h0", Condition.RUNS), shown("h1", Condition.RUNS, domid=5))
    assert finding.startswith("g1 has run in two places")
    assert "on h0: xl pause 3" in advice and "on h1: xl pause 5" in advice
    assert "xl destroy 3" not in advice and "xl destroy 5" not in advice


def test_two_copies_are_two_copies_even_when_another_host_cannot_be_seen() -> None:
    found = (shown("h0", Condition.RUNS), shown("h1", Condition.RUNS))
    assert "two places" in advice_on(*found, unseen=("h2 is silent",))[0]


def test_nothing_is_proved_while_a_host_cannot_be_seen() -> None:
    finding, advice = advice_on(shown("h0", Condition.RUNS), unseen=("h1 is silent",))
    assert "nothing is proved" in finding
    assert "destroy" not in advice and "resume" not in advice


def test_the_rest_of_a_move_may_go_while_the_other_copy_is_seen_to_run() -> None:
    away = shown("h0", Condition.SUSPENDED, name="g1--migratedaway", role=Role.AWAY, domid=2)
    finding, advice = advice_on(shown("h1", Condition.RUNS), away)
    assert "one copy has run, domain 3 (g1) on h1" in finding
    assert "on h0: xl destroy 2" in advice and "only while this one is seen to run" in advice


@pytest.mark.parametrize("source", [Condition.RUNS, Condition.SUSPENDED])
def test_nothing_is_to_be_touched_while_the_move_itself_goes_on(source: Condition) -> None:
    found = [shown("h0", source), incoming("h1")]
    lives = tried().model_copy(update={"runs": True})
    for attempt, receiving in ((lives, set()), (tried(), {"h1"}), (None, {"h1"})):
        finding, advice = judge("g1", found, (), attempt, receiving)
        assert "under way" in finding or "on its way" in finding
        assert not any("xl destroy" in line or "xl resume" in line for line in advice)
    assert "xl destroy 9" in "\n".join(judge("g1", found, (), tried(), {"h2"})[1])


def test_a_move_that_goes_on_hides_no_second_copy_that_runs() -> None:
    found = [shown("h0", Condition.RUNS), shown("h1", Condition.RUNS)]
    lives = tried().model_copy(update={"runs": True})
    assert "two places" in judge("g1", found, (), lives, {"h1"})[0]


def test_a_copy_whose_cpu_time_stands_is_said_to() -> None:
    assert "its CPU time stands" in advice_on(shown("h1", Condition.RUNS, cpu_grew_s=0.0))[0]


@pytest.mark.parametrize(
    ("xen", "words"), [("4.17", "has no `xl resume`"), ("4.20", "xl resume 3")]
)
def test_a_suspended_guest_is_woken_in_the_way_its_xen_knows(xen: str, words: str) -> None:
    finding, advice = advice_on(shown("h0", Condition.SUSPENDED, xen=xen), incoming("h1"))
    assert "no other copy has run" in finding
    assert advice.index("on h1: xl destroy 9") < advice.index(words)


def test_a_destination_that_was_told_to_start_it_is_asked_first() -> None:
    go = "migration sender: Giving target permission to start.\n"
    finding, advice = advice_on(shown("h0", Condition.SUSPENDED), tail=go)
    assert "may have run it" in finding and "did it run?" in advice


def test_a_domain_that_is_shut_down_and_was_kept_may_go_and_one_that_crashed_is_looked_at() -> None:
    finding, advice = advice_on(shown("h0", Condition.SHUT_DOWN, cpu_grew_s=0.0))
    assert finding == "no copy runs" and "nothing runs in it" in advice
    assert "on h0: xl destroy 3" in advice and "xenroll rollout resume" in advice
    assert "destroy" not in advice_on(shown("h0", Condition.CRASHED))[1]


def test_a_guest_that_no_host_shows_is_to_be_started_once() -> None:
    finding, advice = advice_on()
    assert finding == "no host shows a copy" and "once" in advice


@contextmanager
def answering(played: RedisFleet) -> Iterator[None]:
    """Agents that look whenever they are asked to."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.05):
            played.publish()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_host_that_is_silent_hides_no_other_whose_name_begins_alike(
    redis_client: redis.Redis,
) -> None:
    guests = [guest("g1", "h1", gib=2), guest("g2", "h10", gib=2)]
    played = RedisFleet(redis_client, fleet([host("h1"), host("h10")], guests))
    played.publish()
    played.mute.add("h10")
    with answering(played):
        found = evidence(played.store, played.sim.inventory, "g1", Waits(5.0, 0.1))
    assert [one.host for one in found.copies] == ["h1"]
    assert [why.split()[0] for why in found.unseen] == ["h10"]


def test_the_command_walks_through_two_copies_that_stopped_a_rollout(
    redis_client: redis.Redis, redis_url: str
) -> None:
    guests = [guest("g1", "h0", gib=2), guest("g2", "h1", gib=2)]
    seen = fleet([host("h0"), host("h1")], guests)
    played = RedisFleet(redis_client, seen, faults={"g1": "twice"})
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.begin()
    controller = played.controller()
    played.run_until_stopped(controller)
    with answering(played):
        result = xenroll(redis_url, "guest", "evidence", "g1", "--apart-s", "0.2")
        alone = xenroll(redis_url, "guest", "evidence", "g2", "--apart-s", "0.2")
        nobody = xenroll(redis_url, "guest", "evidence", "g9", "--apart-s", "0.2")
    said(result, 1, "g1 has run in two places", "last move: h0 to h1", "xl pause")
    said(alone, 0, "one copy has run")
    said(nobody, 8, "no host shows a guest g9")
