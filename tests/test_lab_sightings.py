"""What an observer of the lab may conclude: who ran where, for how long there was silence."""

from __future__ import annotations

import pytest

from deploy.lab.sightings import Beat, Domain, Sighting, beat_of, lives, running_twice

UUID = "5f0c0a52-0000-4000-8000-000000000001"


def domain(tick: int, *, boot: str = "b1", domid: int = 1, shutdown: bool = False) -> Domain:
    beat = Beat(boot, tick, 0, 0)
    return Domain(domid, UUID, "g", False, shutdown, False, tick * 1000, beat)


def sighting(host: str, asked_s: float, answered_s: float, *domains: Domain) -> Sighting:
    return Sighting(host, f"boot of {host}", asked_s, answered_s, domains)


def test_a_guest_that_ran_here_and_then_there_was_never_running_twice() -> None:
    seen = [
        sighting("a", 0, 1, domain(1)),
        sighting("a", 2, 3, domain(2)),
        sighting("b", 4, 5, domain(3)),
        sighting("a", 6, 7),
        sighting("b", 6, 7, domain(5)),
    ]
    assert list(running_twice(seen)) == []


def test_a_copy_that_runs_again_after_the_other_ran_is_a_double_run() -> None:
    seen = [
        sighting("a", 0, 1, domain(1)),
        sighting("b", 2, 3, domain(2)),
        sighting("b", 4, 5, domain(2)),
        sighting("a", 6, 7, domain(3)),
    ]
    [proof] = running_twice(seen)
    assert "domain 1 of a" in proof
    assert "domain 1 of b" in proof


def test_looks_that_overlap_in_time_prove_nothing() -> None:
    seen = [sighting("a", 0, 5, domain(1)), sighting("b", 4, 9, domain(2))]
    assert list(running_twice(seen)) == []


def test_a_suspended_source_beside_a_running_destination_is_no_double_run() -> None:
    seen = [
        sighting("a", 0, 1, domain(1)),
        sighting("b", 2, 3, domain(2)),
        sighting("b", 4, 5, domain(3)),
        sighting("a", 6, 7, domain(1, shutdown=True)),
    ]
    assert list(running_twice(seen)) == []


def test_a_guest_that_comes_home_under_a_new_domain_id_is_no_double_run() -> None:
    seen = [
        sighting("a", 0, 1, domain(1)),
        sighting("b", 2, 3, domain(2)),
        sighting("b", 4, 5, domain(3)),
        sighting("a", 6, 7, domain(4, domid=2)),
    ]
    assert list(running_twice(seen)) == []


def test_the_longest_silence_spans_hosts_and_is_never_too_short() -> None:
    seen = [
        sighting("a", 0, 1, domain(1)),
        sighting("a", 2, 3, domain(2)),
        sighting("a", 4, 5, domain(2, shutdown=True)),
        sighting("b", 12, 13, domain(3)),
        sighting("b", 13, 14, domain(4)),
    ]
    life = lives(seen)[UUID]
    assert life.longest_silence_s == 13 - 2
    assert life.boot_ids == ("b1",)
    assert life.hosts == ("a", "b")
    assert not life.tick_went_back


def test_a_silence_that_has_not_ended_counts() -> None:
    seen = [sighting("a", 0, 1, domain(1)), sighting("a", 8, 9, domain(1))]
    assert lives(seen)[UUID].longest_silence_s == 9


def test_a_tick_that_goes_back_is_seen_but_a_late_answer_is_not_taken_for_one() -> None:
    late = [sighting("b", 1, 2, domain(9)), sighting("a", 0, 3, domain(8))]
    back = [sighting("a", 0, 1, domain(9)), sighting("a", 2, 3, domain(8))]
    assert not lives(late)[UUID].tick_went_back
    assert lives(back)[UUID].tick_went_back


def test_a_new_boot_of_a_guest_is_seen() -> None:
    seen = [sighting("a", 0, 1, domain(9)), sighting("a", 2, 3, domain(1, boot="b2"))]
    assert lives(seen)[UUID].boot_ids == ("b1", "b2")


@pytest.mark.parametrize("text", [None, "", "b1 1 2", "b1 one 2 3", "b1 1 2 3 4"])
def test_half_a_heartbeat_is_none(text: str | None) -> None:
    assert beat_of(text) is None
