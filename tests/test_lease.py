"""Who leads: one process at a time, with an owner that can be asked and an end that comes alone."""

from __future__ import annotations

import pytest
import redis

from scheduler.lease import LEASE_KEY, LEASE_MS, Lease
from tests.waiting import until


@pytest.fixture
def leases(redis_client: redis.Redis) -> tuple[Lease, Lease]:
    return Lease(redis_client, "first"), Lease(redis_client, "second")


def test_one_leads_and_the_other_is_told_who_does(leases: tuple[Lease, Lease]) -> None:
    first, second = leases
    assert [first.hold(), second.hold(), first.hold()] == ["first", "first", "first"]


def test_a_leader_that_goes_leaves_the_lead_to_the_other_at_once(
    leases: tuple[Lease, Lease],
) -> None:
    first, second = leases
    first.hold()
    first.drop()
    assert second.hold() == "second"


def test_nobody_takes_the_lead_from_another_by_dropping_it(leases: tuple[Lease, Lease]) -> None:
    first, second = leases
    first.hold()
    second.drop()
    assert second.hold() == "first"


def test_the_lead_of_a_leader_that_was_killed_ends_by_itself(
    leases: tuple[Lease, Lease], redis_client: redis.Redis
) -> None:
    first, second = leases
    first.hold()
    left_ms = int(redis_client.pttl(LEASE_KEY))
    assert 0 < left_ms <= LEASE_MS
    redis_client.pexpire(LEASE_KEY, 1)  # the time that nobody renews it in
    until(lambda: second.hold() == "second", "the lead of the second")
    assert first.hold() == "second", "who was thought dead does not lead beside it"


def test_who_leads_renews_the_end_each_time(
    leases: tuple[Lease, Lease], redis_client: redis.Redis
) -> None:
    first, _ = leases
    first.hold()
    redis_client.pexpire(LEASE_KEY, 60_000)
    first.hold()
    assert int(redis_client.pttl(LEASE_KEY)) <= LEASE_MS
