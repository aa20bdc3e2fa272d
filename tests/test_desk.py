"""What the controller believes of a host, and what it does not."""

from __future__ import annotations

import pytest
import redis

from agents.keys import keys
from agents.wire import Report
from scheduler.desk import MAX_REPORT_BYTES, Desk
from scheduler.inventory import HostEntry, Inventory
from tests.make import fleet, guest, host
from tests.sim import START, Sim


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def desk(redis_client: redis.Redis, hand: Hand) -> Desk:
    inventory = Inventory(hosts=(HostEntry(name="h0", address="10.0.0.1"), HostEntry(name="h1")))
    return Desk(redis_client, inventory, hand, stale_after_s=30)


def look(sequence: int, **facts: object) -> Report:
    sim = Sim(fleet([host("h0"), host("h1")], [guest("g1", "h0", gib=2)]))
    return sim.look(sim.hosts["h0"]).model_copy(update={"sequence": sequence, **facts})


def publish(client: redis.Redis, report: Report | bytes, on: str = "h0") -> None:
    raw = report if isinstance(report, bytes) else report.model_dump_json().encode()
    client.set(keys.report(on), raw)


def test_a_host_that_never_reported_is_no_ground_for_anything(desk: Desk) -> None:
    desk.refresh()
    assert desk.report("h0") == "h0 has never reported"


def test_the_first_report_found_may_be_old_and_counts_only_when_it_changes(
    desk: Desk, redis_client: redis.Redis
) -> None:
    publish(redis_client, look(7))
    desk.refresh()
    assert desk.report("h0") == "h0 has not reported since this controller began"
    publish(redis_client, look(8))
    assert desk.refresh() == ["h0"]
    assert isinstance(desk.report("h0"), Report)


def heard(desk: Desk, client: redis.Redis, report: Report) -> None:
    publish(client, report.model_copy(update={"sequence": report.sequence - 1}))
    desk.refresh()
    publish(client, report)
    desk.refresh()


def test_an_old_report_is_no_ground_any_more(
    desk: Desk, redis_client: redis.Redis, hand: Hand
) -> None:
    heard(desk, redis_client, look(2))
    hand.time_s += 29
    assert isinstance(desk.report("h0"), Report)
    hand.time_s += 2
    assert desk.report("h0") == "h0 has not reported for more than 30 s"
    assert set(desk.silent()) == {"h0", "h1"}


def test_nobody_is_called_silent_in_our_first_moments(desk: Desk, hand: Hand) -> None:
    desk.refresh()
    assert desk.silent() == {}
    hand.time_s += 31
    assert set(desk.silent()) == {"h0", "h1"}


def test_a_report_with_trouble_is_no_ground(desk: Desk, redis_client: redis.Redis) -> None:
    heard(desk, redis_client, look(2, trouble=("xl list: no header",)))
    assert desk.report("h0") == "h0: xl list: no header"


def test_a_server_that_lost_its_newest_writes_does_not_make_an_old_report_young(
    desk: Desk, redis_client: redis.Redis, hand: Hand
) -> None:
    heard(desk, redis_client, look(9))
    hand.time_s += 31
    publish(redis_client, look(5))
    desk.refresh()
    assert desk.report("h0") == "h0 has not reported for more than 30 s"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b'{"host": "h0"}', "Field required"),
        (b"\xff\xfe", "Invalid JSON"),
        (look(1).model_dump_json().replace("{", '{"of_a_newer_agent": 1, ', 1).encode(), "Extra"),
        (b" " * (MAX_REPORT_BYTES + 1), "more than"),
        (look(1).model_copy(update={"host": "h1"}).model_dump_json().encode(), "it is of h1"),
    ],
)
def test_a_report_that_is_none_is_named_and_holds_the_host(
    desk: Desk, redis_client: redis.Redis, raw: bytes, words: str
) -> None:
    heard(desk, redis_client, look(2))
    publish(redis_client, raw)
    desk.refresh()
    why = desk.report("h0")
    assert isinstance(why, str) and why.startswith("h0: its report cannot be read") and words in why


def test_a_look_is_answered_only_by_a_report_that_began_after_it_was_asked_for(
    desk: Desk, redis_client: redis.Redis
) -> None:
    now_ms = int(START.timestamp() * 1000)
    number = desk.ask("h0", now_ms)
    heard(desk, redis_client, look(2, answers=number - 1))
    assert desk.answer("h0", number) is None
    heard(desk, redis_client, look(4, answers=number))
    assert desk.answer("h0", number) is not None
    assert redis_client.llen(keys.wake("h0")) == 1, "the agent is woken for it"


def test_numbers_of_looks_grow_even_when_the_server_lost_the_newest(
    desk: Desk, redis_client: redis.Redis
) -> None:
    now_ms = int(START.timestamp() * 1000)
    first = [desk.ask("h0", now_ms) for _ in range(3)]
    assert first == sorted(set(first))
    redis_client.delete(keys.look("h0"))
    assert desk.ask("h0", now_ms + 5000) > first[-1]


def test_where_a_guest_is_follows_the_reports(desk: Desk, redis_client: redis.Redis) -> None:
    heard(desk, redis_client, look(2))
    assert desk.where("g1") == ("h0",)
    heard(desk, redis_client, look(4, guests=()))
    assert desk.where("g1") == ()


def test_a_host_is_reached_under_its_address_or_its_name(desk: Desk) -> None:
    assert (desk.address("h0"), desk.address("h1")) == ("10.0.0.1", "h1")


def test_two_dom0s_under_one_name_are_no_ground_for_anything(
    desk: Desk, redis_client: redis.Redis, hand: Hand
) -> None:
    one, two = {"agent_id": "a", "boot_id": "b1"}, {"agent_id": "b", "boot_id": "b2"}
    hand.time_s += 31  # in its first moments a controller calls nobody silent
    heard(desk, redis_client, look(5, **one))
    for sequence in (1, 2):
        for facts, ahead in ((two, 0), (one, 5)):
            publish(redis_client, look(sequence + ahead, **facts))
            desk.refresh()
    words = "h0: two agents report under its name (boot b1 and b2): end one of them"
    assert desk.report("h0") == words and desk.silent()["h0"] == words
    hand.time_s += 31
    publish(redis_client, look(3, **two))
    desk.refresh()
    assert desk.report("h0") == words, "the other one was heard again"
    hand.time_s += 31
    publish(redis_client, look(4, **two))
    desk.refresh()
    assert isinstance(desk.report("h0"), Report), "only one of them is left"


def test_an_agent_that_was_started_anew_is_one_agent(desk: Desk, redis_client: redis.Redis) -> None:
    heard(desk, redis_client, look(5, agent_id="a"))
    publish(redis_client, look(1, agent_id="b"))
    desk.refresh()
    assert isinstance(desk.report("h0"), Report)


def test_a_server_that_lost_its_newest_writes_shows_no_agent_of_before_as_the_newest(
    desk: Desk, redis_client: redis.Redis
) -> None:
    heard(desk, redis_client, look(5, agent_id="a"))
    publish(redis_client, look(1, agent_id="b", build_id="b" * 40))
    desk.refresh()
    publish(redis_client, look(5, agent_id="a"))
    desk.refresh()
    found = desk.report("h0")
    assert isinstance(found, Report) and found.agent_id == "b"
